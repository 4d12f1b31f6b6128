"""The files of the page: read once at start under fixed names, so no request ever becomes a path."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import valenza

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".glb": "model/gltf-binary",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
HOME = Path(valenza.__file__).parent


@dataclass(frozen=True)
class File:
    """A file as it is sent."""

    body: bytes
    type: str
    tag: str
    """Changes with the content, so that a browser need not fetch it twice."""


def read_files(home: Path = HOME) -> Mapping[str, File]:
    """Return every file of the page by its address."""
    files = dict(_under(home / "annotate" / "web", "/assets/"))
    files |= _under(home / "avatar" / "web", "/assets/avatar/")
    files |= _one(home / "avatar" / "rig.json", "/assets/avatar/rig.json")
    if "/assets/index.html" in files:
        files["/"] = files["/assets/index.html"]
    return files


def _under(folder: Path, address: str) -> Iterator[tuple[str, File]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink():
            yield from _one(path, address + path.relative_to(folder).as_posix()).items()


def _one(path: Path, address: str) -> dict[str, File]:
    if path.suffix not in TYPES or not path.is_file():
        return {}
    body = path.read_bytes()
    return {address: File(body, TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')}
