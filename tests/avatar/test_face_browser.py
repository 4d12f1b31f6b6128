"""The avatar's modules in a real browser: what they compute, and what they draw."""

import base64
import functools
import http.server
import json
import os
import shutil
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

import valenza.avatar
from valenza.labels.taxonomy import EMOTIONS

CHROMIUM = os.environ.get("VALENZA_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path, and $VALENZA_CHROMIUM is not set")

FOLDER = Path(valenza.avatar.__file__).parent
RIG = json.loads((FOLDER / "rig.json").read_text())
SIZE = 240
BROWS, EYES, MOUTH = slice(40, 86), slice(80, 114), slice(126, 172)  # rows of the picture
LIPS = slice(86, 154)  # columns
SHOWN = tuple(emotion for emotion in EMOTIONS if emotion != "other")
POLICY = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self' blob:"

STUDIO = """async (size) => {
  const [{ Face }, rigs, { Sequence }, voices, { Performer }] = await Promise.all(
    ['face', 'rig', 'sequence', 'voice', 'performer'].map((name) => import(`/web/${name}.js`)));
  const rig = await rigs.loadRig('/rig.json');
  const canvas = Object.assign(document.createElement('canvas'), { width: size, height: size });
  const face = new Face(canvas);
  const copy = Object.assign(document.createElement('canvas'), { width: size, height: size });
  const pen = copy.getContext('2d', { willReadFrequently: true });
  const seen = () => {
    pen.drawImage(canvas, 0, 0);
    let text = '';
    for (const byte of pen.getImageData(0, 0, size, size).data) text += String.fromCharCode(byte);
    return btoa(text);
  };
  const draw = (weights) => {
    face.set(weights);
    face.render();
    return seen();
  };
  Object.assign(window, { Face, Performer, Sequence, canvas, draw, face, rig, rigs, seen, voices });
}"""


class Strict(http.server.SimpleHTTPRequestHandler):
    """Serves files under a policy that allows no inline script or style."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":  # which a browser asks for by itself
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    handler = functools.partial(Strict, directory=str(FOLDER))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as play:
        started = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        )
        yield started
        started.close()


def complaints(page: Any) -> list[str]:
    """A list that fills with everything the page complains about."""
    heard: list[str] = []
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda said: heard.append(said.text) if said.type in ("error", "warning") else None)
    return heard


@pytest.fixture(scope="module")
def page(browser: Any, address: str) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 640, "height": 480})
    heard = complaints(opened)
    opened.goto(f"{address}/rig.json")
    opened.evaluate(STUDIO, SIZE)
    yield opened
    assert [said for said in heard if "GPU stall" not in said] == []
    opened.close()


def pixels(encoded: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(SIZE, SIZE, 4)[..., :3].astype(np.int16)


def draw(page: Any, /, **weights: float) -> np.ndarray:
    return pixels(page.evaluate("(weights) => draw(rigs.vector(weights))", weights))


def emotion(page: Any, name: str, share: float = 1.0, **more: float) -> np.ndarray:
    mixture = [share * (each == name) + (1 - share) * (each == "neutral") for each in EMOTIONS]
    script = (
        """([mixture, more]) => draw(rig.weights(mixture).map((weight, k) => Math.max(weight, rigs.vector(more)[k])))"""
    )
    return pixels(page.evaluate(script, [mixture, more]))


def changed(one: np.ndarray, other: np.ndarray, rows: slice = slice(None), columns: slice = slice(None)) -> int:
    """How many pixels of a region differ visibly."""
    return int((np.abs(one - other)[rows, columns].max(axis=-1) > 24).sum())


def whites(picture: np.ndarray, rows: slice, columns: slice = slice(70, 170)) -> int:
    """How many pixels are the white of an eye or of a tooth: light, and hardly coloured. The background is bluish."""
    region = picture[rows, columns]
    return int(((region.min(axis=-1) > 150) & (region[..., 0] >= region[..., 2])).sum())


@pytest.fixture(scope="module")
def portraits(page: Any) -> dict[str, np.ndarray]:
    return {name: emotion(page, name) for name in SHOWN}


def test_the_demo_works_under_a_strict_policy(browser: Any, address: str, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    heard = complaints(page)
    page.goto(f"{address}/web/demo.html")
    page.wait_for_function("document.getElementById('status').textContent === ''")
    for name in SHOWN:
        page.get_by_role("button", name=name).click()
        assert page.get_by_role("button", name=name).get_attribute("aria-pressed") == "true"
    for name, content in (("head.glb", glb()), ("broken.glb", b"no head")):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#glb", tmp_path / name)
        page.wait_for_function("(name) => document.getElementById('status').textContent.startsWith(name)", arg=name)
    assert "cannot be shown" in page.text_content("#status")
    assert [said for said in heard if "GPU stall" not in said] == []
    page.close()


def test_the_rig_speaks_of_the_classes_and_of_arkit(page: Any) -> None:
    assert tuple(page.evaluate("rig.classes")) == EMOTIONS
    names = page.evaluate("rigs.ARKIT")
    assert len(set(names)) == 52
    assert {name for preset in RIG["emotions"].values() for name in preset} <= set(names)
    assert page.evaluate("() => { try { rigs.vector({ jawopen: 1 }) } catch (error) { return error.message } }")


def test_each_emotion_moves_brows_eyes_and_mouth(portraits: dict[str, np.ndarray]) -> None:
    for name in SHOWN[:-1]:
        for rows in (BROWS, EYES, MOUTH):
            assert changed(portraits[name], portraits["neutral"], rows, slice(60, 180)) > 60, (name, rows)


def test_no_two_emotions_look_alike(portraits: dict[str, np.ndarray]) -> None:
    for one in SHOWN:
        for other in SHOWN:
            if one < other:
                assert changed(portraits[one], portraits[other], MOUTH) > 150, (one, other)
                assert changed(portraits[one], portraits[other], slice(40, 114)) > 150, (one, other)


def test_half_an_emotion_lies_between_it_and_neutral(page: Any, portraits: dict[str, np.ndarray]) -> None:
    for name in SHOWN[:-1]:
        half = emotion(page, name, share=0.5)
        far = changed(portraits[name], portraits["neutral"])
        assert 0 < changed(half, portraits["neutral"]) < far, name
        assert 0 < changed(half, portraits[name]) < far, name


def test_zeros_give_the_neutral_face_back(page: Any, portraits: dict[str, np.ndarray]) -> None:
    draw(page, jawOpen=1, browInnerUp=1, eyeBlinkLeft=1, tongueOut=1)
    assert np.array_equal(draw(page), portraits["neutral"])


def test_every_arkit_weight_moves_something(page: Any, portraits: dict[str, np.ndarray]) -> None:
    ajar = draw(page, jawOpen=0.5)
    for name in page.evaluate("rigs.ARKIT"):
        needs_the_jaw = name in ("mouthClose", "tongueOut")
        picture = draw(page, **({"jawOpen": 0.5, name: 1} if needs_the_jaw else {name: 1}))
        assert changed(picture, ajar if needs_the_jaw else portraits["neutral"]) > 15, name


def test_left_is_the_heads_own_left(page: Any, portraits: dict[str, np.ndarray]) -> None:
    left_of_picture, right_of_picture = slice(0, 112), slice(128, 240)
    for shape in ("mouthSmile", "browOuterUp", "eyeBlink", "noseSneer", "mouthFrown", "eyeWide"):
        smile = draw(page, **{f"{shape}Left": 1})
        assert changed(smile, portraits["neutral"], columns=right_of_picture) > 15, shape
        assert changed(smile, portraits["neutral"], columns=left_of_picture) <= 2, shape


def test_lips_close_and_lids_shut(page: Any, portraits: dict[str, np.ndarray]) -> None:
    assert whites(portraits["neutral"], MOUTH, LIPS) == 0
    assert whites(portraits["happiness"], MOUTH, LIPS) > 80
    assert whites(draw(page, jawOpen=0.8, mouthClose=0.8), MOUTH, LIPS) == 0
    for name in SHOWN:
        assert whites(portraits[name], EYES) > 60, name
        shut = emotion(page, name, eyeBlinkLeft=1, eyeBlinkRight=1)
        assert whites(shut, EYES) == 0, name


def test_weights_are_the_clamped_sum_of_presets_and_voice(page: Any) -> None:
    names = page.evaluate("rigs.ARKIT")
    presets = np.array([[preset.get(name, 0.0) for name in names] for preset in RIG["emotions"].values()])
    mouth = np.array([RIG["mouth"].get(name, 0.0) for name in names])
    random = np.random.default_rng(1)
    mixtures, voices = random.dirichlet(np.full(8, 0.4), size=50), random.uniform(0, 2, size=50)
    script = "([mixtures, voices]) => mixtures.map((mixture, k) => [...rig.weights(mixture, voices[k])])"
    seen = np.array(page.evaluate(script, [mixtures.tolist(), voices.tolist()]))
    np.testing.assert_allclose(seen, np.clip(mixtures @ presets + voices[:, None] * mouth, 0, 1), atol=1e-6)


def test_sequences_are_read_as_numpy_interpolates(page: Any) -> None:
    random = np.random.default_rng(2)
    script = (
        "([times, mixtures, at]) => { const s = new Sequence(times, mixtures); return at.map((t) => [...s.at(t)]) }"
    )
    for keys in (1, 2, 3, 17):
        times = np.cumsum(random.uniform(0.01, 1, size=keys))
        mixtures = random.dirichlet(np.ones(8), size=keys)
        at = np.concatenate([random.uniform(-1, times[-1] + 1, size=40), times])
        seen = np.array(page.evaluate(script, [times.tolist(), mixtures.tolist(), at.tolist()]))
        expected = np.stack([np.interp(at, times, column) for column in mixtures.T], axis=1)
        np.testing.assert_allclose(seen, expected, atol=1e-6)
    for times in ([], [1, 1], [2, 1]):
        refused = (
            "(times) => { try { new Sequence(times, times.map(() => Array(8).fill(0.125))) } catch { return true } }"
        )
        assert page.evaluate(refused, times)


def test_a_voice_opens_the_mouth_by_its_energy(page: Any) -> None:
    script = """() => {
      const audio = new OfflineAudioContext(1, 1, 16000).createBuffer(2, 4 * 16000 + 100, 16000);
      for (const c of [0, 1]) audio.getChannelData(c).forEach((_, n, all) => {
        all[n] = [0, 0.02, 0.08, 0.3, 0][Math.floor(n / 16000)] * Math.sin(n * 0.3);
      });
      const voice = voices.envelope(audio);
      const silent = voices.envelope(new OfflineAudioContext(1, 1, 16000).createBuffer(1, 16000, 16000));
      return { rate: voice.rate, values: [...voice.values], silent: [...silent.values],
        outside: [-1, 9].map((t) => voices.openingAt(voice, t)), inside: voices.openingAt(voice, 3.51) };
    }"""
    heard = page.evaluate(script)
    values = np.array(heard["values"])
    assert heard["rate"] == 50
    assert len(values) == 201
    assert values.min() >= 0
    assert values.max() <= 1
    seconds = [values[25 + 50 * k] for k in range(4)]
    assert seconds[0] == 0 < seconds[1] < seconds[2] < seconds[3]
    assert seconds[3] > 0.9
    assert not any(heard["silent"])
    assert heard["outside"] == [0, 0]
    assert heard["inside"] == pytest.approx(values[175], abs=1e-6)


def test_a_performer_depends_on_time_alone(page: Any) -> None:
    script = """(moments) => {
      const mixtures = [0, 4].map((k) => rig.classes.map((_, c) => Number(c === k)));
      const voice = { rate: 50, values: Float32Array.from({ length: 200 }, (_, k) => (k % 20) / 20) };
      const make = (seed) => new Performer(face, rig, new Sequence([0, 4], mixtures), voice, seed);
      const [one, twin, other] = [make(7), make(7), make(8)];
      const at = (performer, t) => { performer.pose(t); return seen(); };
      const forth = moments.map((t) => at(one, t));
      const back = [...moments].reverse().map((t) => at(twin, t)).reverse();
      const shut = Array.from({ length: 4000 }, (_, k) => one.weights(k / 100)[rigs.INDEX.eyeBlinkLeft]);
      const elsewhere = moments.map((t) => at(other, t));
      face.turn(0, 0, 0);
      return { forth, back, elsewhere, shut };
    }"""
    seen = page.evaluate(script, [0.3, 1.7, 2.9])
    assert seen["forth"] == seen["back"]
    assert len(set(seen["forth"])) == 3
    assert seen["forth"] != seen["elsewhere"]
    shut = np.array(seen["shut"]) == 1
    blinks = int((np.diff(shut.astype(int)) == 1).sum())
    assert 40 / RIG["blink"]["every"] - 2 <= blinks <= 40 / RIG["blink"]["every"] + 2


def glb() -> bytes:
    """A square head of four corners: the jaw drops its lower ones, the smile lifts one of them."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    drop = np.array([[0, -0.6, 0], [0, -0.6, 0], [0, 0, 0], [0, 0, 0]], np.float32)
    lift = np.array([[0, 0, 0], [0.5, 0.8, 0], [0, 0, 0], [0, 0, 0]], np.float32)
    indices = np.array([0, 1, 2, 0, 2, 3], np.uint16)
    parts = [part.tobytes() for part in (corners, drop, lift, indices)]
    starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": len(part)} for start, part in zip(starts, parts, strict=False)
    ]
    accessors: list[dict[str, Any]] = [
        {"bufferView": view, "componentType": 5126, "count": 4, "type": "VEC3",
         "min": part.min(axis=0).tolist(), "max": part.max(axis=0).tolist()}
        for view, part in enumerate((corners, drop, lift))
    ]  # fmt: skip
    accessors.append({"bufferView": 3, "componentType": 5123, "count": 6, "type": "SCALAR"})
    primitive = {"attributes": {"POSITION": 0}, "indices": 3, "targets": [{"POSITION": 1}, {"POSITION": 2}]}
    scene = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "translation": [3, 5, 0], "scale": [0.1, 0.1, 0.1]}],
        "meshes": [{"primitives": [primitive], "extras": {"targetNames": ["head.JawOpen", "mouthSmile_L"]}}],
        "buffers": [{"byteLength": starts[-1]}], "bufferViews": views, "accessors": accessors,
    }  # fmt: skip
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    body = b"".join(parts) + b"\0" * (-starts[-1] % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(body), b"BIN\0") + body
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def test_a_glb_with_arkit_names_is_framed_and_moves(page: Any, tmp_path: Path) -> None:
    load = """async (encoded) => {
      const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0)).buffer;
      const other = new Face(Object.assign(document.createElement('canvas'), { width: 240, height: 240 }));
      const names = await other.loadGlb(bytes);
      const moved = (named) => { other.set(rigs.vector(named)); other.render(); return other.canvas; };
      const pen = Object.assign(document.createElement('canvas'), { width: 240, height: 240 })
        .getContext('2d', { willReadFrequently: true });
      const shot = (named) => {
        pen.drawImage(moved(named), 0, 0);
        return btoa(Array.from(pen.getImageData(0, 0, 240, 240).data, (byte) => String.fromCharCode(byte)).join(''));
      };
      const shots = [{}, { jawOpen: 1 }, { mouthSmileLeft: 1 }, { mouthSmileRight: 1 }].map(shot);
      other.dispose();
      return { names, shots };
    }"""
    seen = page.evaluate(load, base64.b64encode(glb()).decode())
    rest, jaw, smile, unknown = map(pixels, seen["shots"])
    assert seen["names"] == ["jawOpen", "mouthSmileLeft"]
    head = np.abs(rest - rest[0, 0]).max(axis=-1) > 24
    assert 0.1 < head.mean() < 0.9, "the head is in the picture, and not all of it"
    assert changed(jaw, rest) > 500
    assert changed(smile, rest) > 500
    assert np.array_equal(unknown, rest)


def test_a_glb_without_arkit_names_is_refused_and_the_face_stays(page: Any, portraits: dict[str, np.ndarray]) -> None:
    plain = glb().replace(b"head.JawOpen", b"head.SomeKey").replace(b"mouthSmile_L", b"mouthUnknown")
    script = """async (encoded) => {
      const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0)).buffer;
      try { await face.loadGlb(bytes); } catch (error) { return error.message; }
    }"""
    assert "ARKit" in page.evaluate(script, base64.b64encode(plain).decode())
    assert np.array_equal(draw(page), portraits["neutral"])


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("jawOpen", "jawOpen"), ("JawOpen", "jawOpen"), ("mouthSmile_L", "mouthSmileLeft"),
        ("Mouth_Smile_R", "mouthSmileRight"), ("blendShape1.browDownLeft", "browDownLeft"),
        ("browdown_r", "browDownRight"), ("viseme_aa", None),
    ],
)  # fmt: skip
def test_names_are_known_as_files_spell_them(page: Any, spelled: str, name: str | None) -> None:
    assert page.evaluate("async (spelled) => (await import('/web/glb.js')).arkitName(spelled)", spelled) == name
