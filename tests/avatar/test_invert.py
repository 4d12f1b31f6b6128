"""From animation back to emotion: the solver against scipy, recovery of what was put in, and the command."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from valenza.avatar.animation import Animation, write_animation
from valenza.avatar.animator import OnnxAnimator, RigAnimator
from valenza.avatar.arkit import ARKIT
from valenza.avatar.invert import invert
from valenza.avatar.quadratic import least, project
from valenza.avatar.recovery import (
    CONDITIONS,
    Condition,
    measure_recovery,
    random_audio,
    random_sequence,
    show_recovery,
)
from valenza.cli import app
from valenza.errors import DataError, NonFiniteError, UsageError, ValenzaError
from valenza.labels.sequences import Sequence, frame_times
from valenza.labels.taxonomy import EMOTIONS, POSITION

RATE = 16_000


def networks() -> ModuleType:
    """The networks of test_animator."""
    spec = importlib.util.spec_from_file_location("networks", Path(__file__).with_name("test_animator.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(seconds: float = 3.0, seed: int = 0) -> tuple[torch.Tensor, Sequence, Animation]:
    """Audio, emotion, and the animation that the rig makes of them."""
    rng, face = np.random.default_rng(seed), RigAnimator()
    audio, sequence = torch.from_numpy(random_audio(rng, seconds)), random_sequence(rng, seconds, face.shown)
    times = frame_times(int(seconds * 50))
    return audio, sequence, Animation(times, face(audio, torch.from_numpy(sequence.at(times))).numpy())


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.floats(0.01, 100))
def test_the_projection_is_the_nearest_point_of_the_simplex(seed: int, emotions: int, scale: float) -> None:
    """A point x of the simplex is nearest to p where (p − x)·(y − x) ≤ 0 for every corner y (Boyd §8.1)."""
    points = torch.from_numpy(scale * np.random.default_rng(seed).standard_normal((6, emotions)))
    found = project(points)
    assert float(found.min()) >= 0
    np.testing.assert_allclose(found.sum(dim=1), 1, atol=1e-9)
    corners = torch.eye(emotions, dtype=torch.float64)
    angles = ((points - found)[:, None] * (corners[None] - found[:, None])).sum(dim=2)
    assert float(angles.max()) <= 1e-9 * (1 + scale)


@pytest.mark.parametrize("smoothness", [0.0, 0.05, 2.0])
def test_the_inner_problem_is_solved_as_scipy_solves_it(smoothness: float) -> None:
    rng, frames, emotions = np.random.default_rng(5), 5, 4
    roots = rng.standard_normal((frames, 3, emotions))
    curvature, slope = roots.transpose(0, 2, 1) @ roots, rng.standard_normal((frames, emotions))
    around = rng.dirichlet(np.ones(emotions), frames)

    def value(flat: np.ndarray) -> float:
        d = flat.reshape(frames, emotions) - around
        smooth = smoothness * (np.diff(flat.reshape(frames, emotions), axis=0) ** 2).sum()
        return float((slope * d).sum() + 0.5 * np.einsum("fi,fij,fj", d, curvature, d) + smooth)

    sums = {"type": "eq", "fun": lambda flat: flat.reshape(frames, emotions).sum(axis=1) - 1}
    bounds = [(0, 1)] * (frames * emotions)
    true = scipy.optimize.minimize(
        value, around.ravel(), method="SLSQP", bounds=bounds, constraints=sums, options={"maxiter": 1000, "ftol": 1e-14}
    )
    assert true.success
    found = least(torch.from_numpy(curvature), torch.from_numpy(slope), torch.from_numpy(around), smoothness).numpy()
    assert value(found.ravel()) <= true.fun + 1e-9
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)


def test_the_whole_problem_is_solved_as_scipy_solves_it() -> None:
    """Equation 8 with its smoothness term, over 4 noisy frames, against a solver that is told nothing of its form."""
    face, audio = RigAnimator(), torch.zeros(4 * 320)
    rng = np.random.default_rng(3)
    mixtures = torch.from_numpy(rng.dirichlet(np.full(8, 0.4), 4))
    recorded = face(audio, mixtures).numpy() + 0.1 * rng.standard_normal((4, 52))
    columns = [POSITION[emotion] for emotion in face.shown]

    def value(flat: np.ndarray) -> float:
        emotion = np.zeros((4, 8))
        emotion[:, columns] = flat.reshape(4, 7)
        missed = face(audio, torch.from_numpy(emotion)).numpy() - recorded
        return float((missed**2).mean(axis=1).sum() + 0.05 * (np.diff(emotion, axis=0) ** 2).sum())

    sums = {"type": "eq", "fun": lambda flat: flat.reshape(4, 7).sum(axis=1) - 1}
    settings = {"maxiter": 2000, "ftol": 1e-13}
    true = scipy.optimize.minimize(
        value, np.full(28, 1 / 7), method="SLSQP", bounds=[(0, 1)] * 28, constraints=sums, options=settings
    )
    found = invert(face, audio, Animation(frame_times(4), recorded), smoothness=0.05)
    assert value(found.sequence.mixtures[:, columns].ravel()) <= true.fun + 1e-7
    np.testing.assert_allclose(found.sequence.mixtures[:, columns].ravel(), true.x, atol=5e-3)


def test_sequences_made_with_the_rig_are_found_again(capsys: pytest.CaptureFixture[str]) -> None:
    """The worst track too is well below 0.03 without noise, and below 0.08 with."""
    found = measure_recovery(tracks=16, seconds=4.0, restarts=1, seed=11)
    assert min(found["guesses"].values()) > 0.2
    errors = {each["condition"]: each for each in found["conditions"]}
    assert errors["as made"]["worst"] < 0.01
    assert errors["as made"]["strongest"] > 0.99
    assert errors["noise of 0.05"]["worst"] < 0.02
    assert errors["noise of 0.10"]["worst"] < 0.04
    assert errors["30 frames a second, noise of 0.05"]["worst"] < 0.02
    assert errors["blinks, noise of 0.05"]["worst"] < 0.03
    show_recovery(found)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(CONDITIONS)
    assert lines[2].split()[:3] == ["as", "made", f"{errors['as made']['mae']:.4f}"]


def test_single_emotions_are_found_to_the_last_digit() -> None:
    face, audio = RigAnimator(), torch.from_numpy(random_audio(np.random.default_rng(0), 0.7))
    alone = torch.eye(8, dtype=torch.float64)[[POSITION[emotion] for emotion in face.shown]].repeat_interleave(5, 0)
    recorded = Animation(frame_times(35), face(audio, alone).numpy())
    found = invert(face, audio, recorded, smoothness=0.0)
    np.testing.assert_allclose(found.sequence.mixtures, alone, atol=1e-5)
    assert found.residual.max() < 1e-5
    np.testing.assert_allclose(found.sequence.times, frame_times(35))


def test_a_face_at_rest_is_neutral_and_never_other() -> None:
    face, audio = RigAnimator(), torch.zeros(RATE)
    other = torch.eye(8, dtype=torch.float64)[[POSITION["other"]] * 50]
    found = invert(face, audio, Animation(frame_times(50), face(audio, other).numpy()))
    assert "other" not in found.shown
    np.testing.assert_allclose(found.sequence.mixtures[:, POSITION["neutral"]], 1, atol=1e-6)
    assert not found.sequence.mixtures[:, POSITION["other"]].any()


def test_channels_that_no_emotion_moves_add_to_the_residual_alone() -> None:
    audio, _, recorded = made()
    unmoved = ~RigAnimator().rig.presets.bool().any(dim=0).numpy()
    assert unmoved.sum() > 5
    before = invert(RigAnimator(), audio, recorded)
    after = invert(RigAnimator(), audio, Animation(recorded.times, recorded.weights + 0.3 * unmoved))
    np.testing.assert_allclose(after.sequence.mixtures, before.sequence.mixtures, atol=1e-4)
    assert after.residual.min() > 0.3 * np.sqrt(unmoved.mean()) - 0.01


def test_a_channel_that_lies_can_be_left_out() -> None:
    audio, sequence, recorded = made()
    weights = recorded.weights.copy()
    lies = ("browInnerUp", "eyeWideLeft")
    weights[:, [ARKIT.index(channel) for channel in lies]] = 1.0
    truth = sequence.at(recorded.times)
    fooled = invert(RigAnimator(), audio, Animation(recorded.times, weights))
    found = invert(RigAnimator(), audio, Animation(recorded.times, weights), without=lies)
    assert np.abs(fooled.sequence.mixtures - truth).mean() > 0.01
    assert np.abs(found.sequence.mixtures - truth).mean() < 0.002


def test_smoothness_trades_noise_for_slowness_and_the_seed_settles_the_rest() -> None:
    audio, _, recorded = made()
    weights = recorded.weights + 0.1 * np.random.default_rng(0).standard_normal(recorded.weights.shape)
    noisy, travelled, residuals = Animation(recorded.times, weights), [], []
    for smoothness in (0.0, 0.02, 0.2, 2.0):
        found = invert(RigAnimator(), audio, noisy, smoothness=smoothness, restarts=1)
        travelled.append(np.abs(np.diff(found.sequence.mixtures, axis=0)).sum())
        residuals.append((found.residual**2).mean())
    assert travelled == sorted(travelled, reverse=True)
    assert residuals == sorted(residuals)
    twice = [invert(RigAnimator(), audio, noisy, restarts=9, seed=4).sequence.mixtures for _ in range(2)]
    np.testing.assert_array_equal(*twice)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_emotions_are_found_through_a_network_that_is_not_linear(noise: float, tmp_path: Path) -> None:
    face = OnnxAnimator(networks().conv_network(tmp_path / "conv.onnx"))
    found = measure_recovery(face, [Condition("network", noise=noise)], tracks=1, seconds=2.0, restarts=3, seed=1)
    assert found["conditions"][0]["worst"] < (0.08 if noise else 0.03)
    assert min(found["guesses"].values()) > 0.15


class Folded:
    """A face that many emotions bring to nearly the same place: a search from one start often ends in the wrong one."""

    frame_rate, channels, shown = 50.0, ("a", "b", "c", "d"), ("happiness", "sadness", "anger", "neutral")

    def __call__(self, audio: torch.Tensor, emotion: torch.Tensor) -> torch.Tensor:
        mixed = torch.tensor(np.random.default_rng(0).standard_normal((8, 4)))
        return torch.sin(5.0 * emotion.double() @ mixed)


def test_more_starts_find_what_one_does_not() -> None:
    truth = random_sequence(np.random.default_rng(1), 6.0, Folded.shown).frames(300)
    recorded = Animation(frame_times(300), Folded()(torch.zeros(1), torch.from_numpy(truth)).numpy(), Folded.channels)
    audio = torch.zeros(6 * RATE)
    errors = [
        float(np.abs(invert(Folded(), audio, recorded, smoothness=1e-3, restarts=n).sequence.mixtures - truth).mean())
        for n in (1, 5, 15)
    ]
    assert errors[0] > 0.03
    assert errors[0] > 2 * errors[1]
    assert errors[2] < 0.01


def test_the_rig_as_a_network_gives_the_same_answer(tmp_path: Path) -> None:
    rig, audio = RigAnimator(), torch.zeros(RATE)
    rng = np.random.default_rng(2)
    truth = random_sequence(rng, 1.0, rig.shown).frames(50)
    recorded = Animation(frame_times(50), rig(audio, torch.from_numpy(truth)).numpy())
    face = OnnxAnimator(networks().exported_rig(tmp_path / "rig.onnx", rig.rig))
    direct = invert(rig, audio, recorded).sequence.mixtures
    np.testing.assert_allclose(invert(face, audio, recorded).sequence.mixtures, direct, atol=2e-3)


class Broken(Folded):
    """A face whose weights are no numbers."""

    def __call__(self, audio: torch.Tensor, emotion: torch.Tensor) -> torch.Tensor:
        return super().__call__(audio, emotion) / 0.0


def test_a_face_without_numbers_is_told() -> None:
    recorded = Animation(frame_times(5), np.zeros((5, 4)), Broken.channels)
    with pytest.raises(NonFiniteError, match="not finite"):
        invert(Broken(), torch.zeros(1600), recorded)


def test_what_makes_no_sense_is_refused() -> None:
    audio, _, recorded = made(1.0)
    face = RigAnimator()
    for wrong in ({"smoothness": -1.0}, {"restarts": 0}, {"without": ("jawWide",)}, {"without": ARKIT}):
        with pytest.raises(UsageError):
            invert(face, audio, recorded, **wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="less than one frame"):
        invert(face, audio[:300], recorded)
    with pytest.raises(DataError, match="no channel eyeBlinkLeft"):
        invert(face, audio, Animation(recorded.times, recorded.weights[:, 1:], ARKIT[1:]))
    shorter = invert(face, audio[: RATE // 2], recorded)
    assert len(shorter.residual) == 25


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["invert", *map(str, words)])


def recording(folder: Path) -> tuple[Path, Path, np.ndarray]:
    """An animation and its audio as files, and the emotion that they were made of."""
    audio, sequence, _ = made(2.0, seed=6)
    samples = np.rint(audio.numpy() * 32768).clip(-32768, 32767).astype(np.int16)
    soundfile.write(folder / "speech.flac", samples, RATE)
    truth = sequence.frames(100)
    heard = torch.from_numpy(samples).double() / 32768
    animation = Animation(frame_times(100), RigAnimator()(heard, torch.from_numpy(truth)).numpy())
    write_animation(animation, folder / "face.csv")
    return folder / "face.csv", folder / "speech.flac", truth


def test_the_command_writes_emotion_over_time(tmp_path: Path) -> None:
    face, speech, truth = recording(tmp_path)
    out = tmp_path / "new" / "emotion.json"
    ended = run(face, "--audio", speech, "--out", out, "--restarts", 1)
    assert ended.exit_code == 0, ended.output
    assert "2.00 s, 100 frames, residual 0.00" in ended.stdout
    assert "happiness" in ended.stdout
    held = json.loads(out.read_text())
    assert held["classes"] == list(EMOTIONS)
    assert held["animator"] == "rig"
    assert len(held["residual"]) == 100
    found = Sequence.of(held["times"], held["mixtures"])
    assert found.problem() is None
    assert np.abs(found.frames(100) - truth).mean() < 0.005


def test_the_command_answers_programs_and_takes_a_network(tmp_path: Path) -> None:
    _, speech, truth = recording(tmp_path)
    network = networks().conv_network(tmp_path / "conv.onnx")
    implicit = np.linspace(0, 1, 16)
    np.save(tmp_path / "implicit.npy", implicit)
    face = OnnxAnimator(network, implicit=implicit)
    heard = torch.from_numpy(soundfile.read(speech)[0])
    weights = face(heard, torch.from_numpy(truth)).numpy()
    write_animation(Animation(frame_times(100), weights, face.channels), tmp_path / "mesh.npz")
    words = ["--audio", speech, "--out", tmp_path / "e.json", "--animator", network, "--json"]
    ended = run(tmp_path / "mesh.npz", *words, "--implicit", tmp_path / "implicit.npy")
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    assert told["frames"] == 100
    assert sum(each["share"] for each in told["emotions"].values()) == pytest.approx(1)
    found = np.array(json.loads((tmp_path / "e.json").read_text())["mixtures"])
    assert np.abs(found - truth).mean() < 0.03


def test_the_bench_answers_programs() -> None:
    words = ["--tracks", "1", "--seconds", "0.5", "--restarts", "1", "--seed", "3", "--json"]
    ended = CliRunner().invoke(app, ["bench", "invert", *words])
    assert ended.exit_code == 0, ended.output
    told, again = json.loads(ended.stdout), measure_recovery(tracks=1, seconds=0.5, restarts=1, seed=3)
    assert [each["condition"] for each in told["conditions"]] == [condition.name for condition in CONDITIONS]
    assert [each["mae"] for each in told["conditions"]] == [each["mae"] for each in again["conditions"]]


def test_the_command_explains_what_is_wrong(tmp_path: Path) -> None:
    face, speech, _ = recording(tmp_path)
    soundfile.write(tmp_path / "long.flac", np.zeros(4 * RATE), RATE)
    ended = run(face, "--audio", tmp_path / "long.flac", "--out", tmp_path / "e.json", "--restarts", 1)
    assert "lasts 2.00 s" in ended.stderr
    assert "4.00 s; what both have is used" in ended.stderr
    for words in (
        (tmp_path / "nowhere.csv", "--audio", speech),
        (face, "--audio", tmp_path / "nowhere.wav"),
        (face, "--audio", face),
        (face, "--audio", speech, "--animator", "puppet"),
        (face, "--audio", speech, "--without", "jawWide"),
        (face, "--audio", speech, "--animator", tmp_path / "e.onnx", "--implicit", face),
    ):
        ended = run(*words, "--out", tmp_path / "never.json")
        assert isinstance(ended.exception, ValenzaError), words
        assert str(ended.exception)
    assert not (tmp_path / "never.json").exists()
