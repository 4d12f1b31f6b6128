"""Pairs from trained networks, from the command line to preferences that are read back."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from scipy.stats import binom
from typer.testing import CliRunner

from valenza.annotate.assign import choose
from valenza.annotate.assign import course as courses
from valenza.cli import app
from valenza.config import load
from valenza.errors import DataError, UsageError
from valenza.features.batch import join
from valenza.labels.sequences import distance
from valenza.model.student import build_student
from valenza.recipe import Augment, Recipe
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.stages.frozen import Listener
from valenza.stages.once import logits
from valenza.stages.pairs.candidates import SIMILAR, Draw, Slides, Student, generator, slidings
from valenza.stages.pairs.draws import draw_mixtures
from valenza.stages.pairs.folder import Study, read_pairs
from valenza.stages.pairs.make import choose_tracks, make_pairs
from valenza.stages.pairs.preferences import read_preferences
from valenza.stages.pairs.simulated import ERROR_RATE, TIE_ZONE
from valenza.stages.pairs.sources import slides_of, student_of
from valenza.stages.pairs.truth import truth_of
from valenza.stages.run import train_run
from valenza.stages.tracks import make_tracks

LEARNS = ("training.steps=24", "training.peak_lr=3e-2", "training.validate_every=24", "training.checkpoint_every=12",
          "training.windows_per_step=2")  # fmt: skip

DIRICHLET = (
    "heads.emotion=dirichlet",
    "objective.dirichlet=1",
    "objective.soft_labels=0",
    "objective.label_smoothing=0.05",
)


@pytest.fixture(scope="module")
def home(
    corner: SimpleNamespace,
    tmp_path_factory: pytest.TempPathFactory,
    by_itself: Callable[[Path], AbstractContextManager[None]],
) -> Iterator[Path]:
    """A folder with tracks of two languages, a run to be slid, and a run with a Dirichlet head and two checkpoints."""
    folder = tmp_path_factory.mktemp("pairs")
    with by_itself(folder / "cache"):
        for corpus in ("german", "italian"):
            make_tracks(corner.shards, corpus, None, folder / "tracks", per_speaker=4, shortest=0.5)
        for run, more in (("slid", ()), ("student", DIRICHLET)):
            recipe = load(Recipe, corner.recipe, [*LEARNS, *more])
            train_run(recipe, folder / run, resume="never", workers=0, precision="no")
        yield folder


def cli(*words: object, code: int = 0) -> Any:
    ended = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)
    if code:
        assert ended.exception is not None
        return ended.exception
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return json.loads(ended.stdout)


def files_of(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def told(home: Path) -> Any:
    """What the command line says of pairs with windows, samples, two checkpoints and a user's files."""
    clips = read_index(home / "tracks", ["german-tracks"])["id"].to_pylist()
    (home / "own").mkdir()
    for name in (f"{clips[0]}.json", f"{clips[0]}.second.json", f"{clips[1]}.json"):
        own = {"times": [0.0, 1.0], "emotions": {"fear": [1.0, 0.0], "disgust": [0.0, 1.0]}}
        (home / "own" / name).write_text(json.dumps(own))
    return cli(
        "pairs", "make", home / "slid", "german-tracks", "italian-tracks", "--shards", home / "tracks",
        "--out", home / "study", "--student", f"{home / 'student'}@step-00000012", "--student", home / "student",
        "--files", home / "own", "--catch", 0.1, "--title", "Tones", "--samples", 2, "--json",
    )  # fmt: skip


@pytest.fixture(scope="module")
def study(home: Path, told: Any) -> Study:
    assert Path(told["out"]) == home / "study"
    return read_pairs(home / "study")


def test_no_two_candidates_of_a_track_are_similar(study: Study, home: Path) -> None:
    index = read_index(home / "tracks", ["german-tracks", "italian-tracks"])
    assert sorted(str(track.clip) for track in study.tracks.values()) == sorted(index["id"].to_pylist())
    for track in study.tracks.values():
        own = [c for c in study.candidates.values() if c.track == track.id and c.source["kind"] != "catch"]
        assert len({c.id for c in own}) == len(own) > 1
        for a, b in combinations(own, 2):
            assert distance(a.sequence, b.sequence, track.frames) >= SIMILAR


def test_each_kind_of_candidate_is_there_and_tells_where_it_is_from(study: Study, told: Any) -> None:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for candidate in study.candidates.values():
        by_kind.setdefault(candidate.source["kind"], []).append(candidate.source)
    assert set(by_kind) == {"window", "sample", "checkpoint", "file", "catch"}
    assert all(0.25 <= s["window"] <= 1.26 and 0.25 <= s["step"] <= 1.26 for s in by_kind["window"])
    assert {s["run"] for s in by_kind["window"]} == {"slid"}
    for kind in ("sample", "checkpoint"):
        assert {(s["run"], s["checkpoint"]) for s in by_kind[kind]} == {
            ("student", "step-00000012"),
            ("student", "step-00000024"),
        }
    assert len(by_kind["file"]) == 2  # the second of the first clip is similar to the first
    counts = told["counts"]
    drawn = Counter(c.track for c in study.candidates.values() if c.source["kind"] in ("window", "sample"))
    assert max(drawn.values()) <= 5
    assert sum(number < 5 for number in drawn.values()) == counts["tracks_that_fell_short"]
    assert counts["candidates"] == {k: len(v) for k, v in sorted(by_kind.items()) if k != "catch"}
    assert counts["pairs"] == dict(Counter(pair.kind for pair in study.pairs))
    plain, catch = counts["pairs"]["plain"], sum(counts["pairs"].values()) - counts["pairs"]["plain"]
    assert catch == round(plain / 9)
    assert (study.title, study.seed, told["slide"]) == ("Tones", 7, "slid")


def test_the_audio_is_that_of_the_clips(study: Study, home: Path) -> None:
    index = read_index(home / "tracks", ["german-tracks", "italian-tracks"])
    reader, ids = Reader(home / "tracks", index), index["id"].to_pylist()
    for track in list(study.tracks.values())[::13]:
        assert track.clip is not None
        samples, rate = soundfile.read(study.folder / track.audio, dtype="int16")
        assert rate == 16_000
        np.testing.assert_array_equal(samples, reader.audio(ids.index(track.clip)))
        assert track.seconds == len(samples) / rate
        assert track.frames == len(reader.frames(ids.index(track.clip)))


def test_a_sample_is_a_draw_from_the_students_concentrations(study: Study, home: Path) -> None:
    index = read_index(home / "tracks", ["german-tracks", "italian-tracks"])
    reader, ids = Reader(home / "tracks", index), index["id"].to_pylist()
    students = [student_of(f"{home / 'student'}@step-00000012"), student_of(str(home / "student"))]
    for candidate in [c for c in study.candidates.values() if c.source["kind"] in ("sample", "checkpoint")][::17]:
        track = study.tracks[candidate.track]
        student = next(s for s in students if s.checkpoint == candidate.source["checkpoint"])
        alpha = student.alpha(reader.audio(ids.index(str(track.clip))))
        expected = alpha / alpha.sum(axis=1, keepdims=True)
        if candidate.source["kind"] == "sample":
            expected = draw_mixtures(alpha, generator(7, track.id, f"sample {candidate.source['draw']}"))
        assert np.abs(candidate.sequence.frames(track.frames) - expected).max() < 0.0021


def test_the_same_arguments_give_the_same_bytes(study: Study, home: Path) -> None:
    settings: dict[str, Any] = {"slide": slides_of(home / "slid"), "tracks": 5, "seed": 3, "pairs": 12}
    args = (home / "tracks", ["italian-tracks", "german-tracks"])
    one = make_pairs(home / "one", *args, **settings)
    make_pairs(home / "two", *args, **settings)
    assert files_of(home / "one") == files_of(home / "two")
    assert one.digest == read_pairs(home / "two").digest
    assert sum(pair.kind == "plain" for pair in one.pairs) == 12
    with pytest.raises(UsageError, match="holds pairs already"):
        make_pairs(home / "one", *args, **settings)
    # A track has the same sequences whatever other tracks there are.
    more = make_pairs(home / "more", *args, **{**settings, "tracks": 9, "pairs": None})
    shared = [c for c in one.candidates.values() if c.track in more.tracks and c.source["kind"] == "window"]
    assert shared
    assert all(more.candidates[candidate.id] == candidate for candidate in shared)


def test_another_network_keeps_the_draws(home: Path, tmp_path: Path) -> None:
    slide = slides_of(home / "slid")
    other = replace(slide, network=student_network(home), name="other")
    both = []
    for name, each in (("one", slide), ("other", other)):
        made = make_pairs(tmp_path / name, home / "tracks", ["german-tracks"], slide=each, tracks=4, similar=1e-9)
        windows = [c for c in made.candidates.values() if c.source["kind"] == "window"]
        both.append([(c.id, c.source["window"], c.source["step"]) for c in windows])
    assert both[0] == both[1]
    for name, window, step in both[0]:
        drawn = list(slidings(7, made.candidates[name].track, Draw()))[int(name.rpartition("-w")[2])]
        assert (drawn.window, drawn.step) == (window, step)


def student_network(home: Path) -> Any:
    from valenza.stages.trained import load_network, newest_checkpoint, read_recipe

    return load_network(read_recipe(home / "student"), newest_checkpoint(home / "student"))


def test_windows_and_steps_are_drawn_evenly() -> None:
    draws = np.array([(s.window, s.step) for i in range(200) for s in slidings(7, f"t-{i}", Draw())])
    assert draws.min() >= 0.25
    assert draws.max() <= 1.26
    np.testing.assert_allclose(draws.mean(axis=0), 0.75, atol=0.02)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.05


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (1.0, 0.5), (float("nan"), 1.0)])
def test_windows_have_a_frame_at_least(bounds: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="windows from"):
        Draw(*bounds)


def test_tracks_are_spread_over_speakers(home: Path) -> None:
    index = read_index(home / "tracks", ["german-tracks", "italian-tracks"])
    speakers = list(zip(index["corpus"].to_pylist(), index["speaker"].to_pylist(), strict=True))
    for wanted in (5, 12, 20):
        rows = choose_tracks(index, wanted, 1)
        assert rows == sorted(set(rows))
        counts = Counter(speakers[row] for row in rows)
        assert sum(counts.values()) == wanted
        assert max(counts.values()) - min(counts.get(s, 0) for s in set(speakers)) <= 1
    assert choose_tracks(index, 12, 1) != choose_tracks(index, 12, 2)
    assert choose_tracks(index, None, 1) == list(range(index.num_rows))


def test_a_frozen_network_that_says_one_thing_falls_short_and_makes_no_pairs(home: Path, tmp_path: Path) -> None:
    slide = slides_of(home / "slid")
    with pytest.raises(DataError, match=r"no track has two sequences that differ by 0\.24"):
        make_pairs(tmp_path / "p", home / "tracks", ["german-tracks"], slide=slide, tracks=1, similar=0.24)
    constant = Student("flat", "step-1", lambda audio: np.ones((-(-len(audio) // 320), 8)), dirichlet=False)
    made = make_pairs(
        tmp_path / "q", home / "tracks", ["german-tracks"], slide=slide, students=[constant], samples=0, tracks=2,
        k=1, similar=0.005
    )  # fmt: skip
    kinds = Counter(candidate.source["kind"] for candidate in made.candidates.values())
    assert (kinds["window"], kinds["checkpoint"]) == (2, 2)
    flat = [c for c in made.candidates.values() if c.source["kind"] == "checkpoint"]
    assert all(len(c.times) == 2 and set(c.mixtures[0]) == {0.125} for c in flat)


def test_one_pass_of_a_student_gives_each_frame(corner: SimpleNamespace) -> None:
    torch.manual_seed(1)
    network = build_student(load(Recipe, corner.recipe, DIRICHLET))
    audio = np.random.default_rng(0).integers(-3000, 3000, 32_001).astype(np.int16)
    alpha = np.exp(logits(network, audio))
    assert alpha.shape == (101, 8)
    assert np.isfinite(alpha).all()
    assert (alpha > 0).all()


def test_one_pass_is_what_the_network_says_of_the_padded_recording(home: Path) -> None:
    network = student_network(home)
    audio = np.random.default_rng(0).integers(-3000, 3000, 16_100).astype(np.int16)
    said = logits(network, audio)
    waveform, clip = (tensor[None] for tensor in join([audio]))
    with torch.inference_mode():
        np.testing.assert_allclose(said, network(waveform, clip)[0].numpy(), atol=1e-6)
    assert said.shape == (51, 8)
    long = np.tile(audio, 40)  # 40 s: two parts, each as if it were alone
    frames = -(-len(long) // 320)
    whole = logits(network, long)
    assert len(whole) == frames
    half = frames // 2
    np.testing.assert_allclose(whole[:half], logits(network, long[: half * 320]), atol=1e-5)
    np.testing.assert_allclose(whole[half:], logits(network, long[half * 320 :]), atol=1e-5)


def test_a_simulated_annotator_prefers_what_is_nearer_to_the_truth(study: Study, home: Path) -> None:
    told = cli("pairs", "simulate", study.folder, "--shards", home / "tracks", "--json", "--seed", 4)
    preferences = read_preferences(study.folder / "preferences.jsonl")
    truth = truth_of(study, home / "tracks")
    assert set(truth) == set(study.tracks)
    right = 0
    for preference in preferences:
        true = truth[preference.prompt.track]
        error = [np.abs(r.sequence.frames(len(true)) - true).mean() for r in (preference.chosen, preference.rejected)]
        right += error[0] < error[1]
        assert preference.weight == preference.annotators == 1
        assert preference.prompt.audio == study.tracks[preference.prompt.track].audio
        assert preference.chosen.times == study.candidates[preference.chosen.candidate].times
    plain = [pair for pair in study.pairs if pair.kind == "plain"]
    assert told["preferences"] == len(preferences) <= told["votes"] == len(plain)
    assert len(preferences) > 100
    low, high = binom.interval(1 - 1e-5, len(preferences), 1 - ERROR_RATE)
    assert low <= right <= high
    assert "15 %" in told["note"]
    assert told["answers"]["tie_zone"] == TIE_ZONE
    out = home / "exact.jsonl"
    cli("pairs", "simulate", study.folder, "--shards", home / "tracks", "--error-rate", 0, "--ties", "half",
        "--tie-zone", 0.02, "--out", out, "--json")  # fmt: skip
    for preference in read_preferences(out):
        true = truth[preference.prompt.track]
        error = [np.abs(r.sequence.frames(len(true)) - true).mean() for r in (preference.chosen, preference.rejected)]
        assert preference.weight == (1.0 if abs(error[0] - error[1]) >= 0.02 else 0.5)
        assert preference.weight == 0.5 or error[0] < error[1]


def test_people_who_judge_are_not_written_over(study: Study, home: Path) -> None:
    (study.folder / "votes.sqlite").touch()
    error = cli("pairs", "simulate", study.folder, "--shards", home / "tracks", code=64)
    (study.folder / "votes.sqlite").unlink()
    assert "people judge these pairs" in str(error)


def test_the_obvious_ones_are_obvious_by_the_truth(study: Study, home: Path) -> None:
    truth, right, trials = truth_of(study, home / "tracks"), 0, [p for p in study.pairs if p.kind == "obvious"]
    for pair in trials:
        error = {
            side: np.abs(study.candidates[name].sequence.frames(len(truth[pair.track])) - truth[pair.track]).mean()
            for side, name in (("a", pair.a), ("b", pair.b))
        }
        right += min(error, key=lambda side: error[side]) == pair.expected
    assert len(trials) >= 5
    assert right == len(trials)


def test_annotators_can_walk_through_all_of_it(study: Study) -> None:
    course = courses(study, "a-1")
    seen: dict[str, int] = {}
    while (pair := choose(course, seen, {p.id for p in course.plain})) is not None:
        if pair.repeats is not None:
            assert len(seen) - seen[pair.repeats] > course.gap > 1
        seen[pair.id] = len(seen)
    assert set(seen) == {pair.id for pair in study.pairs}


def test_truth_needs_clips_with_frame_labels(study: Study, home: Path, corner: SimpleNamespace) -> None:
    first = next(iter(study.tracks.values()))
    nameless = replace(study, tracks={first.id: first.model_copy(update={"clip": None})})
    with pytest.raises(UsageError, match="names no clip"):
        truth_of(nameless, home / "tracks")
    elsewhere = replace(study, tracks={first.id: first.model_copy(update={"clip": "german-tracks-none"})})
    with pytest.raises(UsageError, match="there is no clip german-tracks-none"):
        truth_of(elsewhere, home / "tracks")


def test_what_cannot_be_made_is_refused(home: Path, corner: SimpleNamespace, tmp_path: Path) -> None:
    words = ("pairs", "make", home / "slid", "german-tracks", "--shards", home / "tracks", "--out", tmp_path / "p")
    error = cli(*words, "--student", home / "slid", code=64)
    assert isinstance(error, UsageError)
    assert "mixtures are drawn from a Dirichlet head" in str(error)
    assert "is given 2 times" in str(cli(*words, "--student", home / "student", "--student", home / "student", code=64))
    assert "not a usable checkpoint" in str(cli(*words, "--student", f"{home / 'student'}@step-1", code=64))
    assert "samples 6: from 0 to k" in str(cli(*words, "--samples", 6, code=64))
    assert "not a run folder" in str(cli("pairs", "make", tmp_path, *words[3:], code=64))
    assert "similar 0.3" in str(cli(*words, "--similar", 0.3, code=64))
    assert not (tmp_path / "p").exists()
    softmax = student_of(str(home / "slid"))
    assert not softmax.dirichlet
    shares = softmax.alpha(np.ones(3200, np.int16))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    # Fear is in no corpus here, so no network has learned what it is.
    assert (shares[:, 3] == 0).all()


def test_the_command_line_says_what_the_library_does() -> None:
    import inspect

    from valenza.cli.pairs import pairs_make, pairs_simulate
    from valenza.stages.pairs.make import make_pairs

    library, command = inspect.signature(make_pairs).parameters, inspect.signature(pairs_make).parameters
    for name in ("k", "per_track", "pairs", "catch", "samples", "similar", "low", "high", "seed", "title", "tracks"):
        assert command[name].default == library[name].default, name
    simulated = inspect.signature(pairs_simulate).parameters
    assert simulated["error_rate"].default == ERROR_RATE
    assert simulated["tie_zone"].default == TIE_ZONE


def test_slides_may_be_of_any_listener(home: Path) -> None:
    slide = slides_of(home / "slid")
    again = Slides(Listener(slide.network.encoder, Augment()), slide.network, "slid")
    assert again.seen is None
    assert slide.seen is not None
    assert slide.seen.sum() == 4
