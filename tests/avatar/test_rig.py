"""The rig: its numbers, its gradient, and its agreement with what the browser does."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.avatar.arkit import ARKIT, NVIDIA, arkit_name, nvidia_column
from valenza.avatar.rig import RIG, Rig, read_rig, voice_of
from valenza.errors import DataError
from valenza.labels.taxonomy import EMOTIONS, POSITION

WEB = RIG.parent / "web"
RATE = 16_000
NODE = shutil.which("node")
ENVELOPE = """
import { readFileSync } from 'node:fs';
import { envelope } from '%s';
const samples = Float32Array.from(JSON.parse(readFileSync(0, 'utf8')));
const audio = { numberOfChannels: 1, length: samples.length, sampleRate: 16000, getChannelData: () => samples };
console.log(JSON.stringify(Array.from(envelope(audio).values)));
"""
WEIGHTS = """
import { readFileSync } from 'node:fs';
import { Rig } from '%s';
const { numbers, rows } = JSON.parse(readFileSync(0, 'utf8'));
const rig = new Rig(numbers);
const told = rows.map(({ mixture, voice }) => Array.from(rig.weights(rig.classes.map((c) => mixture[c]), voice)));
console.log(JSON.stringify(told));
"""


@pytest.fixture(scope="module")
def rig() -> Rig:
    return read_rig()


def one_hot(*emotions: str) -> torch.Tensor:
    return torch.eye(len(EMOTIONS), dtype=torch.float64)[[POSITION[emotion] for emotion in emotions]]


def mixtures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(len(EMOTIONS)), count))


def syllables(seconds: float, seed: int = 0, loudness: float = 0.2) -> torch.Tensor:
    moments = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(moments))
    return torch.from_numpy(loudness * noise * np.sin(2 * np.pi * 2 * moments).clip(0) * (moments % 2 < 1.6))


def test_the_52_names_in_two_spellings() -> None:
    assert len(set(ARKIT)) == len(set(NVIDIA)) == 52
    assert ARKIT[:2] == ("eyeBlinkLeft", "eyeLookDownLeft")
    assert NVIDIA[13:18] == ("EyeWideRight", "JawForward", "JawLeft", "JawRight", "JawOpen")
    for apple, nvidia in zip(ARKIT, NVIDIA, strict=True):
        assert arkit_name(apple) == arkit_name(nvidia) == arkit_name(f" {nvidia_column(apple)}") == apple
    assert nvidia_column("jawOpen") == "blendShapes.JawOpen"
    assert [arkit_name(other) for other in ("HeadYaw", "", "jawopen", "blendShapes.TongueTipUp")] == [None] * 4


def test_the_browser_has_the_same_names_in_the_same_order() -> None:
    listed = re.search(r"ARKIT = Object\.freeze\(\[(.*?)\]\)", (WEB / "rig.js").read_text(), re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r"'(\w+)'", listed[1])) == ARKIT


def test_weights_are_what_the_formula_says(rig: Rig) -> None:
    numbers = json.loads(RIG.read_text())
    mixture, voice = mixtures(20), np.linspace(0, 1, 20)
    found = rig.weights(mixture, torch.from_numpy(voice))
    for frame in range(20):
        for place, channel in enumerate(ARKIT):
            total = voice[frame] * numbers["mouth"].get(channel, 0.0)
            for emotion, preset in numbers["emotions"].items():
                total += float(mixture[frame, POSITION[emotion]]) * preset.get(channel, 0.0)
            assert float(found[frame, place]) == pytest.approx(min(1, max(0, total)))


def test_neutral_in_silence_rests_and_every_emotion_has_a_face_of_its_own(rig: Rig) -> None:
    faces = rig.weights(one_hot(*EMOTIONS), torch.zeros(8))
    assert not faces[POSITION["neutral"]].any()
    assert rig.shown == ("happiness", "sadness", "disgust", "fear", "surprise", "anger", "neutral")
    # The six are far from one being a mixture of the others: otherwise nobody could find the emotion again.
    assert float(torch.linalg.svdvals(faces[:6])[-1]) > 0.5


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_weights_lie_between_0_and_1(seed: int, voice: float) -> None:
    found = read_rig().weights(mixtures(5, seed), torch.full((5,), voice))
    assert ((found >= 0) & (found <= 1)).all()


def test_the_gradient_is_that_of_the_sum_inside_the_bounds_and_nothing_beyond(rig: Rig) -> None:
    voice = torch.full((30,), 0.3, dtype=torch.float64)
    inside = mixtures(30)
    assert torch.autograd.gradcheck(lambda mixture: rig.weights(mixture, voice), inside.requires_grad_())
    at_rest = one_hot("neutral").requires_grad_()
    (slope,) = torch.autograd.grad(rig.weights(at_rest, torch.zeros(1))[:, ARKIT.index("browInnerUp")].sum(), at_rest)
    assert torch.equal(slope[0], rig.presets[:, ARKIT.index("browInnerUp")])
    widest = int(rig.presets[POSITION["fear"]].argmax())
    beyond = (one_hot("fear") * 3).requires_grad_()
    weights = rig.weights(beyond, torch.zeros(1))
    (slope,) = torch.autograd.grad(weights[:, widest].sum(), beyond)
    assert float(weights[0, widest].detach()) == 1
    assert not slope.any()


@pytest.mark.skipif(NODE is None, reason="there is no node")
def test_the_browser_gives_the_same_weights(rig: Rig) -> None:
    mixture, voice = mixtures(10), torch.linspace(0, 1, 10)
    rows = [
        {"mixture": dict(zip(EMOTIONS, row.tolist(), strict=True)), "voice": float(opened)}
        for row, opened in zip(mixture, voice, strict=True)
    ]
    told = javascript(WEIGHTS % (WEB / "rig.js").as_uri(), {"numbers": json.loads(RIG.read_text()), "rows": rows})
    np.testing.assert_allclose(told, rig.weights(mixture, voice), atol=1e-6)


@pytest.mark.skipif(NODE is None, reason="there is no node")
@pytest.mark.parametrize("seconds", [0.005, 1.0, 3.1234])
def test_the_browser_hears_the_same_voice(seconds: float) -> None:
    heard = syllables(seconds).float()
    told = javascript(ENVELOPE % (WEB / "voice.js").as_uri(), heard.tolist())
    found = voice_of(heard)
    assert len(found) == len(told) == int(np.ceil(seconds * 50 - 1e-6))
    np.testing.assert_allclose(found, told, atol=1e-5)


def javascript(module: str, value: object) -> object:
    assert NODE is not None
    # node takes modules of a folder without a package.json for CommonJS first, and says so
    words = [NODE, "--no-warnings", "--input-type=module", "--experimental-default-type=module", "--eval", module]
    done = subprocess.run(words, input=json.dumps(value), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_voice_opens_the_mouth_alike_at_any_loudness_and_silence_shuts_it() -> None:
    loud, soft = voice_of(syllables(2)), voice_of(syllables(2) / 20)
    torch.testing.assert_close(loud, soft)
    assert float(loud.max()) == 1
    assert float(loud[90:].max()) < 0.01  # a pause of 0.4 s at the end
    assert not voice_of(torch.zeros(RATE)).any()
    assert len(voice_of(torch.zeros(0))) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda numbers: numbers | {"format": 2}, "format"),
        (lambda numbers: numbers | {"mouth": {"jawWide": 1}}, "mouth: 'jawWide'"),
        (lambda numbers: numbers | {"emotions": {"joy": {}}}, "emotions: there must be exactly happiness"),
        (lambda numbers: {"format": 1}, "emotions: Field required"),
    ],
)
def test_a_false_rig_is_explained(change: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "rig.json"
    assert callable(change)
    path.write_text(json.dumps(change(json.loads(RIG.read_text()))))
    with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + re.escape(words)):
        read_rig(path)


def test_emotions_of_one_face_are_one(tmp_path: Path) -> None:
    numbers = json.loads(RIG.read_text())
    numbers["emotions"] |= {"disgust": numbers["emotions"]["happiness"], "sadness": {}}
    path = tmp_path / "rig.json"
    path.write_text(json.dumps(numbers))
    assert read_rig(path).shown == ("happiness", "fear", "surprise", "anger", "neutral")
