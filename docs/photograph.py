"""Photograph the pages for the documentation: `python docs/photograph.py [name …]` writes docs/images/<name>.png.

It needs playwright, Pillow and a Chromium (found as `chromium`, or named by $VALENZA_CHROMIUM).
"""

import base64
import functools
import http.server
import io
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from annotation import of_annotation
from PIL import Image
from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
AVATAR = DOCS.parent / "platform" / "valenza" / "avatar"
DRAWN_IN_SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
NAMES = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
FACES = {name: {name: 1.0} for name in NAMES}
HALVES = {"happiness": 0.5, "surprise": 0.5}
COLOURS = 256  # of a picture's palette: a face in full colour takes four times the space and looks the same

STUDIO = """async ({ faces, size, caption }) => {
  const { Face } = await import('/web/face.js');
  const { loadRig } = await import('/web/rig.js');
  const rig = await loadRig('/rig.json');
  const canvas = Object.assign(document.createElement('canvas'), { width: 3 * size, height: 3 * size }); // smooth edges
  const face = new Face(canvas);
  const across = Math.min(4, faces.length);
  const height = size + caption;
  const sheet = Object.assign(document.createElement('canvas'), {
    width: across * size, height: Math.ceil(faces.length / across) * height });
  const pen = sheet.getContext('2d');
  pen.imageSmoothingQuality = 'high';
  pen.fillStyle = '#ffffff';
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.fillStyle = '#22313a';
  pen.font = '16px sans-serif';
  pen.textAlign = 'center';
  faces.forEach(([name, mixture], k) => {
    const [x, y] = [(k % across) * size, Math.floor(k / across) * height];
    face.set(rig.weights(rig.classes.map((emotion) => mixture[emotion] ?? 0)));
    face.render();
    pen.drawImage(canvas, x, y, size, size);
    if (caption) pen.fillText(name, x + size / 2, y + size + caption - 9);
  });
  face.dispose();
  return sheet.toDataURL('image/png');
}"""


@dataclass(frozen=True)
class Shot:
    """One picture: its file's name without .png, and what takes it."""

    name: str
    take: Callable[[Page, str], bytes]
    """Given a page and the address of the avatar's folder, answers a PNG in full colour."""


def of_faces(faces: dict[str, dict[str, float]], size: int, caption: int = 0) -> Callable[[Page, str], bytes]:
    """Return what takes a sheet of faces by their mixtures, their names in strips of `caption` pixels below."""

    def take(page: Page, address: str) -> bytes:
        page.goto(f"{address}/rig.json")  # any page of that origin: the studio is the script's own
        url = page.evaluate(STUDIO, {"faces": list(faces.items()), "size": size, "caption": caption})
        return base64.b64decode(url.partition(",")[2])

    return take


SHOTS = [
    Shot("avatar", of_faces(FACES | {"half happiness, half surprise": HALVES}, size=240, caption=28)),
    Shot("annotate-trial", of_annotation(9, "trial", "Space")),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder to this machine only, and give its address."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def main(names: list[str]) -> None:
    """Take the named shots, or all."""
    chosen = [shot for shot in SHOTS if not names or shot.name in names]
    unknown = set(names) - {shot.name for shot in SHOTS}
    if unknown:
        sys.exit(f"no such shot: {', '.join(sorted(unknown))}; there are {', '.join(shot.name for shot in SHOTS)}")
    chromium = os.environ.get("VALENZA_CHROMIUM") or shutil.which("chromium")
    IMAGES.mkdir(exist_ok=True)
    with served(AVATAR) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=DRAWN_IN_SOFTWARE)
        for shot in chosen:
            page = browser.new_page(viewport={"width": 1200, "height": 800})
            picture = Image.open(io.BytesIO(shot.take(page, address))).convert("RGB")
            file = IMAGES / f"{shot.name}.png"
            picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
            sys.stdout.write(f"docs/images/{file.name}  {file.stat().st_size / 1024:.0f} kB\n")
            page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
