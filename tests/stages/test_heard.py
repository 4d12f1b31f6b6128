"""What a slid network hears, as shards: the same audio, its own sequence on every frame, and whose it is."""

import csv
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.special
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from valenza.cli import app
from valenza.config import load
from valenza.corpora.card import read_card
from valenza.corpora.parse import clips
from valenza.errors import DataError, ShardError, UsageError
from valenza.labels.harmonise import scores
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.network import Network, build_network
from valenza.recipe import Augment, Recipe
from valenza.shards.index import Description
from valenza.shards.read import Reader
from valenza.shards.stored import read_cards, read_index
from valenza.shards.verify import verify
from valenza.shards.write import build
from valenza.stages.frozen import Listener
from valenza.stages.heard import read_heard, sharpen, write_heard
from valenza.stages.sliding import Slider, Sliding
from valenza.stages.tracks import make_tracks

RATE = 16_000
CLASSES = ("neutral", "happiness", "sadness", "anger")
MADE = {"run": "first", "checkpoint": "c" * 64}
ODD = """id: odd
title: Recordings of all lengths
languages: [de]
licence: CC BY 4.0
access: open
audio: "*.flac"
pattern: '.+'
labels: {}
tables:
  - path: said.csv
    key: file
    columns: {speaker: speaker, gender: gender, language: language, recording: take, text: text, split: split}
"""
SECONDS = {"a clip": 0.9, "short": 0.005, "window": 0.4, "long": 61.0}


@pytest.fixture(scope="module")
def network(corner: SimpleNamespace) -> Network:
    torch.manual_seed(5)
    changes = ["encoder.attention=clip", "encoder.layers=joined", "objective.level=clip"]
    network = build_network(load(Recipe, corner.recipe, changes)).eval()
    _, reader, _ = opened(corner.shards, "german")
    listening = Slider(Listener(network.encoder, Augment()), Sliding(0.4, 0.25))
    heard = torch.from_numpy(np.concatenate([listening.hear(reader.audio(row)) for row in range(8)]))
    with torch.no_grad():  # as ready to tell windows apart as a trained one
        read, last = network.read(heard[None], torch.arange(len(heard))[None])[0], network.head.linear
        last.weight.mul_(2 / (read @ last.weight.T).std(dim=0, keepdim=True).T)
        last.bias.copy_(-(read @ last.weight.T).mean(dim=0))
    return network


@pytest.fixture(scope="module")
def slider(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slider]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VALENZA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Slider(Listener(network.encoder, Augment()), Sliding(0.4, 0.25))


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings that nobody labelled: shorter than a frame, as long as a window, and longer than a shard's clips."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd").mkdir()
    rng, said = np.random.default_rng(1), [["file", "speaker", "gender", "language", "take", "text", "split"]]
    for number, (name, seconds) in enumerate(SECONDS.items()):
        time = np.arange(int(seconds * RATE)) / RATE
        samples = 0.3 * np.sin(2 * np.pi * (200 + 150 * np.sin(2 * time)) * time) + 0.02 * rng.standard_normal(
            len(time)
        )
        soundfile.write(folder / "odd" / f"{name}.flac", samples, RATE)
        said.append([name, f"0{number}", "FM-"[number % 3].strip("-"), "de-AT" if number else "", "take 1", "", ""])
    said[1][-2:], said[2][-2:] = ['He said: "no,\nno"', "test"], ["Größe; 1,5", "validation"]
    with (folder / "odd" / "said.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(said)
    (folder / "odd.yaml").write_text(ODD)
    card = read_card(folder / "odd.yaml")
    build(card, folder / "odd.yaml", clips(card, folder / "odd").clips, folder / "shards")
    return folder / "shards"


class Written:
    """A call of `write_heard` that can be made again with changes."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments

    def again(self, **changes: Any) -> Description:
        return write_heard(**{**self.arguments, **changes})


@pytest.fixture(scope="module")
def german(
    slider: Slider, network: Network, corner: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Written:
    """The teacher's shards of every clip of `german`."""
    out = tmp_path_factory.mktemp("heard")
    written = Written(
        slider=slider,
        network=network,
        shards=corner.shards,
        corpus="german",
        rows=None,
        out=out,
        classes=CLASSES,
        made=MADE,
    )
    assert written.again().clips == 24
    return written


def opened(shards: Path, corpus: str) -> tuple[dict[str, int], Reader, dict[str, list[Any]]]:
    """A corpus's rows by what its clips are called in it, its reader and the columns of its index."""
    index = read_index(shards, [corpus])
    columns = {name: index[name].to_pylist() for name in index.column_names}
    return {i.removeprefix(f"{corpus}-"): r for r, i in enumerate(columns["id"])}, Reader(shards, index), columns


def state_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Path → when it was written, and a checksum of it."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files
    }


def sequence_of(slider: Slider, network: Network, reader: Reader, ids: list[str], row: int) -> Any:
    frames = -(-reader.samples(row) // 320)
    seen = np.isin(EMOTIONS, CLASSES)
    return slider.sequence(network, slider.means(reader, ids, [row], label="")[0], frames, seen), frames


def test_every_frame_is_the_slid_sequence(
    german: Written, slider: Slider, network: Network, corner: SimpleNamespace
) -> None:
    rows, heard, _ = opened(german.arguments["out"], "german-heard")
    names, source, columns = opened(corner.shards, "german")
    assert rows.keys() == names.keys()
    largest = []
    for name, row in rows.items():
        sequence, frames = sequence_of(slider, network, source, columns["id"], names[name])
        stored = heard.frames(row)
        assert stored.shape == (frames, 8)
        np.testing.assert_allclose(stored, sequence.frames(frames), rtol=1.1e-3, atol=1e-6)
        np.testing.assert_allclose(stored.sum(axis=1), 1, atol=1e-6)
        assert not stored[:, ~np.isin(EMOTIONS, CLASSES)].any()
        largest.append(stored.argmax(axis=1))
    assert len(np.unique(np.concatenate(largest))) > 1  # or all of this would hold of a network that hears nothing


def test_they_are_ordinary_shards(german: Written) -> None:
    out = german.arguments["out"]
    assert [p.name for p in out.iterdir()] == ["german-heard"]
    assert verify(out / "german-heard") == []
    ended = CliRunner().invoke(app, ["shards", "verify", "german-heard", "--shards", str(out), "--jobs", "1"])
    assert ended.exit_code == 0, ended.output
    index, cards = read_index(out, ["german-heard"]), read_cards(out, ["german-heard"])
    meaning = scores(index, cards)
    assert not meaning.used.any()
    assert (meaning.known == np.isin(EMOTIONS, CLASSES)).all()
    assert cards["german-heard"].classes == ("happiness", "sadness", "anger", "neutral")


def test_audio_and_what_is_known_of_it_stay(
    german: Written, odd: Path, tmp_path: Path, corner: SimpleNamespace
) -> None:
    german.again(shards=odd, corpus="odd", out=tmp_path)
    for before, corpus, after in ((corner.shards, "german", german.arguments["out"]), (odd, "odd", tmp_path)):
        (names, source, old), (rows, heard, new) = opened(before, corpus), opened(after, f"{corpus}-heard")
        assert rows.keys() == names.keys()
        for name, row in rows.items():
            np.testing.assert_array_equal(heard.audio(row), source.audio(names[name]))
            for column in ("speaker", "gender", "language", "recording", "text", "split"):
                assert new[column][row] == old[column][names[name]], column
    card = read_cards(tmp_path, ["odd-heard"])["odd-heard"]
    assert (card.licence, card.access, set(card.languages)) == ("CC BY 4.0", "open", {"de", "de-AT"})


def test_recordings_of_all_lengths(
    german: Written, odd: Path, slider: Slider, network: Network, tmp_path: Path
) -> None:
    """One shorter than a frame, one than a window, one as long as it, and one that is stored in parts."""
    assert german.again(shards=odd, corpus="odd", out=tmp_path).clips == 6
    assert verify(tmp_path / "odd-heard") == []
    (rows, heard, _), (names, source, columns) = opened(tmp_path, "odd-heard"), opened(odd, "odd")
    assert sorted(names) == ["a_clip", "long-1of3", "long-2of3", "long-3of3", "short", "window"]
    counts = {}
    for name, row in rows.items():
        sequence, counts[name] = sequence_of(slider, network, source, columns["id"], names[name])
        np.testing.assert_allclose(heard.frames(row), sequence.frames(counts[name]), rtol=1.1e-3, atol=1e-6)
    assert (counts["short"], counts["window"], counts["a_clip"]) == (1, 20, 45)
    assert (heard.frames(rows["window"]) == heard.frames(rows["window"])[0]).all()


def test_joined_tracks_are_listened_to_as_well(german: Written, corner: SimpleNamespace, tmp_path: Path) -> None:
    made = make_tracks(corner.shards, "german", None, tmp_path, per_speaker=2)
    before = state_of(tmp_path)
    kept = german.again(shards=tmp_path, corpus="german-tracks", out=tmp_path, rows=[2, 0, 2])
    assert kept.clips == 2
    assert read_heard(tmp_path / "german-tracks-heard").clips == 2
    assert verify(tmp_path / "german-tracks-heard") == []
    ids = set(opened(tmp_path, "german-tracks-heard")[0])
    assert ids == {opened(tmp_path, "german-tracks")[2]["id"][row].removeprefix("german-tracks-") for row in (0, 2)}
    assert ids < {track.id for track in made.tracks.tracks}
    assert before.items() <= state_of(tmp_path).items()


def test_a_second_call_does_nothing(german: Written) -> None:
    before = state_of(german.arguments["out"])
    description = german.again(temperature=1.0, classes=(*CLASSES[::-1], "anger"), rows=range(24))
    assert description == german.again()
    assert state_of(german.arguments["out"]) == before


def test_the_same_arguments_give_the_same_bytes(
    german: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALENZA_CACHE", str(tmp_path / "cache"))  # where nothing was kept
    german.again(out=tmp_path / "out")
    one, other = (
        {name: digest for name, (_, digest) in state_of(folder / "german-heard").items() if not name.startswith(".")}
        for folder in (german.arguments["out"], tmp_path / "out")
    )
    assert one == other
    assert one.keys() == {"german-heard-000000.tar", "index.parquet", "shards.json", "card.yaml", "teacher.json"}


def test_shards_of_anything_else_are_left_alone(
    german: Written, slider: Slider, network: Network, corner: SimpleNamespace, tmp_path: Path
) -> None:
    other = build_network(load(Recipe, corner.recipe, ["objective.level=clip"]))
    before = state_of(german.arguments["out"])
    refused: dict[str, dict[str, Any]] = {
        "temperature": {"temperature": 0.5},
        "window": {"slider": Slider(slider.listener, Sliding(0.6, 0.25))},
        "step": {"slider": Slider(slider.listener, Sliding(0.4, 0.3))},
        "clips, clips_sha256": {"rows": [1, 2]},
        "network_sha256": {"network": other},
        "classes": {"classes": EMOTIONS},
        "made": {"made": {**MADE, "run": "second"}},
        "corpus, index_sha256, card_sha256, clips_sha256": {"corpus": "english", "name": "german-heard"},
    }
    for field, changes in refused.items():
        with pytest.raises(UsageError, match=rf"german-heard: holds what was heard otherwise \({field}\)"):
            german.again(**changes)
    assert state_of(german.arguments["out"]) == before
    with pytest.raises(UsageError, match="holds something that no teacher wrote"):
        german.again(out=corner.shards, name="italian")
    (tmp_path / "german-heard").mkdir()
    assert german.again(out=tmp_path).clips == 24


def test_what_cannot_be_meant_is_refused(german: Written, tmp_path: Path) -> None:
    for changes, failure, words in (
        ({"temperature": 0.0}, UsageError, "temperature of 0"),
        ({"temperature": float("nan")}, UsageError, "temperature of nan"),
        ({"classes": ("happyness",)}, UsageError, "'happyness' is not one of.*'happiness'"),
        ({"classes": ()}, UsageError, "knows no emotion"),
        ({"rows": []}, DataError, "no clip"),
        ({"rows": [24]}, UsageError, "no row 24"),
        ({"rows": [-1, 3]}, UsageError, "no row -1"),
        ({"name": "German heard"}, UsageError, "names no shards"),
        ({"corpus": "germann"}, ShardError, "german"),
    ):
        with pytest.raises(failure, match=words):
            german.again(out=tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_damaged_shards_leave_nothing_behind(german: Written, odd: Path, tmp_path: Path) -> None:
    shutil.copytree(odd, tmp_path / "shards")
    tar = tmp_path / "shards" / "odd" / "odd-000000.tar"
    data = bytearray(tar.read_bytes())
    data[len(data) // 2] ^= 1
    tar.write_bytes(data)
    with pytest.raises(ShardError, match="CRC-32"):
        german.again(shards=tmp_path / "shards", corpus="odd", out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_lost_shard_is_written_anew_and_a_changed_record_is_told(german: Written, tmp_path: Path) -> None:
    german.again(out=tmp_path, rows=[0, 1])
    folder = tmp_path / "german-heard"
    before = {name: digest for name, (_, digest) in state_of(folder).items() if not name.startswith(".")}
    (folder / "german-heard-000000.tar").unlink()
    german.again(out=tmp_path, rows=[0, 1])
    assert before == {name: digest for name, (_, digest) in state_of(folder).items() if not name.startswith(".")}
    whole = (folder / "teacher.json").read_bytes()
    for place in range(0, len(whole), 7):
        (folder / "teacher.json").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ShardError, match=r"teacher\.json: is damaged"):
            read_heard(folder)
    (folder / "teacher.json").write_bytes(whole)
    told = read_heard(folder)
    assert (told.corpus, told.clips, told.window, told.step, told.made) == ("german", 2, 0.4, 0.25, MADE)


def test_windows_are_sharpened_and_the_frames_between_them_lie_on_a_line(
    german: Written, slider: Slider, network: Network, corner: SimpleNamespace, tmp_path: Path
) -> None:
    german.again(out=tmp_path, rows=[3], temperature=0.5)
    names, source, columns = opened(corner.shards, "german")
    (name, row), *rest = opened(tmp_path, "german-heard")[0].items()
    assert not rest
    sequence, frames = sequence_of(slider, network, source, columns["id"], names[name])
    keys = sequence.mixtures**2 / (sequence.mixtures**2).sum(axis=1, keepdims=True)
    middles = (np.arange(frames) + 0.5) / 50
    wanted = np.stack([np.interp(middles, sequence.times, column) for column in keys.T], axis=1)
    stored = opened(tmp_path, "german-heard")[1].frames(row)
    np.testing.assert_allclose(stored, wanted, rtol=1.1e-3, atol=1e-6)
    assert stored.max() > sequence.frames(frames).max()


mixtures = arrays(np.float64, st.tuples(st.integers(1, 6), st.just(8)), elements=st.floats(1e-9, 1)).map(
    lambda a: a / a.sum(axis=1, keepdims=True)
)


def entropy(p: np.ndarray) -> np.ndarray:
    return np.asarray(scipy.special.entr(p).sum(axis=1))


@given(mixtures, st.floats(0.05, 20), st.floats(0.05, 1))
def test_a_temperature_divides_the_logits(p: np.ndarray, temperature: float, factor: float) -> None:
    sharp = sharpen(p, temperature)
    np.testing.assert_allclose(sharp, scipy.special.softmax(np.log(p) / temperature, axis=1), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(sharp.sum(axis=1), 1, atol=1e-12)
    assert (np.take_along_axis(sharp, p.argmax(axis=1)[:, None], axis=1)[:, 0] >= sharp.max(axis=1) * (1 - 1e-12)).all()
    assert (entropy(sharpen(p, temperature * factor)) <= entropy(sharp) + 1e-9).all()
    assert sharpen(p, 1.0) is p


def test_shares_of_nothing_stay_nothing() -> None:
    p = np.array([[0.0, 0.5, 0.25, 0.25, 0, 0, 0, 0], [0, 0, 0, 1.0, 0, 0, 0, 0]])
    for temperature in (1e-3, 0.5, 2.0, 1e3):
        sharp = sharpen(p, temperature)
        np.testing.assert_array_equal(sharp[p == 0], 0)
        np.testing.assert_allclose(sharp.sum(axis=1), 1)
    np.testing.assert_allclose(sharpen(p, 1e-3)[0], np.eye(8)[1], atol=1e-12)
