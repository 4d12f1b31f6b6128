"""Rotations: which corpora are held out, and a real one of three tiny corpora, stopped and gone on with."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from valenza.config import load
from valenza.errors import NonFiniteError, UsageError
from valenza.evaluation.rotation.folds import folds
from valenza.evaluation.rotation.rotate import finished, plan, rotate
from valenza.evaluation.rotation.summary import markdown
from valenza.recipe import Recipe

FAST = ("training.steps=3", "training.checkpoint_every=2", "training.validate_every=3", "evaluation.padding=none")


def shard_cards(root: Path, **languages: str) -> Path:
    for corpus, said in languages.items():
        (root / corpus).mkdir(parents=True)
        (root / corpus / "shards.json").touch()
        (root / corpus / "card.yaml").write_text(
            f"id: {corpus}\ntitle: {corpus}\nlanguages: [{said}]\nlicence: none\naudio: '*'\n"
            "pattern: '(?P<label>.)(?P<speaker>.)'\nlabels: {h: happiness}\n"
        )
    return root


def recipe(shards: Path, train: dict[str, float], zero_shot: list[str]) -> Recipe:
    return Recipe.model_validate(
        {
            "stage": "utterance",
            "data": {"shards": shards, "train": train, "zero_shot": zero_shot},
            "encoder": {"new": {}},
            "training": {"steps": 1},
        }
    )


def test_a_language_is_held_out_with_all_that_speaks_it(tmp_path: Path) -> None:
    shards = shard_cards(tmp_path, a="en-GB", b="en-US", c="de", d="it")
    found = {fold.name: fold for fold in folds(recipe(shards, {"a": 2, "b": 1, "d": 0.5}, ["c"]), "language")}
    assert sorted(found) == ["de", "en", "it"]
    assert found["en"].held_out == ("a", "b")
    assert dict(found["en"].train) == {"c": 1.0, "d": 0.5}
    assert dict(found["de"].train) == {"a": 2, "b": 1, "d": 0.5}
    assert {fold.claim for fold in found.values()} == {"cross_lingual"}


def test_a_corpus_of_two_languages_takes_the_other_one_out_of_training(tmp_path: Path) -> None:
    shards = shard_cards(tmp_path, a="en, de", b="en", c="de", d="it")
    found = {fold.name: fold for fold in folds(recipe(shards, {"a": 1, "b": 1, "c": 1, "d": 1}, []), "language")}
    assert (found["de"].held_out, found["de"].aside, list(found["de"].train)) == (("a", "c"), ("b",), ["d"])
    assert (found["it"].held_out, found["it"].aside) == (("d",), ())


def test_no_language_is_no_fold_and_an_unknown_one_can_be_any(tmp_path: Path) -> None:
    shards = shard_cards(tmp_path, a="en, zxx", b="de, zxx", c="it, und", d="mul", e="it")
    found = {fold.name: fold for fold in folds(recipe(shards, dict.fromkeys("abcde", 1.0), []), "language")}
    assert sorted(found) == ["de", "en", "it"]
    assert (found["de"].held_out, found["de"].aside, list(found["de"].train)) == (("b",), ("c", "d"), ["a", "e"])
    assert (found["it"].held_out, found["it"].aside, list(found["it"].train)) == (("e",), ("c", "d"), ["a", "b"])
    for tag in ("und", "mul", "zxx"):
        with pytest.raises(UsageError, match=f"no language '{tag}' to hold out"):
            folds(recipe(shards, {"a": 1, "b": 1}, ["c", "d"]), "language", [tag])
    alone = {fold.name: fold.claim for fold in folds(recipe(shards, {"a": 1, "b": 1}, []), "corpus")}
    assert alone == {"a": "cross_lingual", "b": "cross_lingual"}
    beside = {fold.name: fold.claim for fold in folds(recipe(shards, {"a": 1, "b": 1, "d": 1}, []), "corpus")}
    assert set(beside.values()) == {"cross_corpus"}


def test_a_seed_that_is_named_twice_is_trained_once(corner: Any, tmp_path: Path) -> None:
    tasks = plan(corner.recipe, "language", seeds=[8, 7, 8], only=["de"], out=tmp_path)
    assert [task.seed for task in tasks] == [8, 7]


def test_a_corpus_is_held_out_alone_and_says_what_it_can_claim(tmp_path: Path) -> None:
    shards = shard_cards(tmp_path, a="en", b="en-US", c="de")
    found = {fold.name: fold for fold in folds(recipe(shards, {"a": 1, "b": 3}, ["c"]), "corpus")}
    assert (found["a"].claim, found["c"].claim) == ("cross_corpus", "cross_lingual")
    assert dict(found["a"].train) == {"b": 3, "c": 1.0}
    assert found["a"].recipe(recipe(shards, {"a": 1, "b": 3}, ["c"]), 11).seed == 11
    assert [fold.name for fold in folds(recipe(shards, {"a": 1}, ["c"]), "corpus", ["c"])] == ["c"]
    with pytest.raises(UsageError, match="no corpus 'aa' to hold out; did you mean 'a'"):
        folds(recipe(shards, {"a": 1}, ["c"]), "corpus", ["aa"])
    with pytest.raises(UsageError, match="no corpus left"):
        folds(recipe(shards, {"a": 1}, []), "corpus")


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """Train in this process as a user would: one thread, no launcher."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
            patch.delenv(name, raising=False)
        yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def rotation(corner: Any, alone: None) -> tuple[Path, dict[str, Any]]:
    out = corner.folder / "rotation"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VALENZA_CACHE", str(corner.folder / "cache"))
        return out, rotate(corner.recipe, "language", seeds=[7, 8], only=["de", "it"], out=out, overrides=FAST)


def test_every_fold_and_seed_is_trained_scored_and_put_together(rotation: tuple[Path, dict[str, Any]]) -> None:
    out, found = rotation
    assert found == json.loads((out / "rotation.json").read_text())
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["de-7", "de-8", "it-7", "it-8"]
    assert load(Recipe, out / "it-8" / "recipe.yaml") == load(Recipe, out / "it-8.yaml")
    held = load(Recipe, out / "it-8" / "recipe.yaml").data
    assert (sorted(held.train), held.zero_shot) == (["english", "german"], ("italian",))
    assert [fold["fold"] for fold in found["folds"]] == ["de", "it"]
    for fold in found["folds"]:
        (corpus,) = fold["held_out"]
        scores = [run["corpora"][corpus]["metrics"]["micro_f1"] for run in fold["runs"]]
        assert fold["model"]["micro_f1"]["mean"] == pytest.approx(np.mean(scores))
        assert fold["model"]["micro_f1"]["sd"] == pytest.approx(np.std(scores, ddof=1))
        low, high = fold["model"]["micro_f1"]["ci95"]
        assert low <= fold["model"]["micro_f1"]["mean"] <= high
        assert set(fold["baselines"]) == {"random_head", "majority", "frozen_probe"}
    means = [fold["model"]["macro_f1"]["mean"] for fold in found["folds"]]
    assert found["mean"]["model"]["macro_f1"]["mean"] == pytest.approx(np.mean(means))
    by_seed = [scores["macro_f1"] for scores in found["mean"]["by_seed"].values()]
    assert found["mean"]["model"]["macro_f1"]["sd"] == pytest.approx(np.std(by_seed, ddof=1))


def test_the_table_has_a_row_a_fold_and_one_for_the_mean(rotation: tuple[Path, dict[str, Any]]) -> None:
    out, found = rotation
    lines = (out / "rotation.md").read_text().splitlines()
    assert "\n".join(lines).strip() == markdown(found).strip()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["de", "it", "mean"]
    assert all(line.count("|") == lines[0].count("|") for line in lines[1:5])
    assert "± standard deviation over seeds 7, 8" in lines[6]


def test_what_is_finished_is_not_done_again_and_what_is_not_goes_on(
    corner: Any, rotation: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VALENZA_CACHE", str(corner.folder / "cache"))
    out = tmp_path / "again"
    shutil.copytree(rotation[0], out)
    whole, stopped = out / "de-7", out / "it-8"
    (stopped / "results.json").unlink()
    shutil.rmtree(stopped / "checkpoints" / "step-00000003")
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    found = rotate(corner.recipe, "language", seeds=[7, 8], only=["de", "it"], out=out, overrides=FAST)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()} == before
    assert (stopped / "checkpoints" / "step-00000003").is_dir()
    assert found["folds"] == rotation[1]["folds"]
    # Another protocol is scored again without training; another recipe would need another folder.
    (task, *_) = plan(corner.recipe, "language", seeds=[7], out=out, overrides=[*FAST, "evaluation.prior=none"])
    assert not finished(task)
    with pytest.raises(UsageError, match="another recipe"):
        rotate(corner.recipe, "language", seeds=[7], only=["de"], out=out, overrides=[*FAST, "training.peak_lr=0.5"])


def test_several_processes_give_what_one_gives(
    corner: Any, rotation: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    words = ["--seeds", 7, "--only", "de,it", "--jobs", 2, "--out", tmp_path / "out", "--json"]
    ended = corner.run("rotate", corner.recipe, *FAST, *words)
    assert ended.code == 0, ended.err
    alone = [fold["runs"][0]["corpora"] for fold in rotation[1]["folds"]]
    assert [fold["runs"][0]["corpora"] for fold in ended.json["folds"]] == alone


def test_only_a_plan_writes_recipes_and_a_launcher_is_refused(
    corner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["english-7.yaml", "german-7.yaml", "italian-7.yaml"]
    assert [task.file.name for task in plan(corner.recipe, "corpus", seeds=[], out=tmp_path)] == names
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="torchrun"):
        rotate(corner.recipe, "language", out=tmp_path)


def test_a_fold_that_fails_does_not_stop_the_others_and_is_raised_at_the_end(
    corner: Any, alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALENZA_CACHE", str(corner.folder / "cache"))
    blown = [*FAST, "training.peak_lr=1e30", "training.clip_norm=1e30", "training.schedule=constant"]
    with pytest.raises(NonFiniteError, match="2 of 2 runs failed"):
        rotate(corner.recipe, "language", only=["de", "it"], out=tmp_path, overrides=blown)
    told = json.loads((tmp_path / "rotation.json").read_text())
    assert [(failure["fold"], failure["seed"]) for failure in told["failed"]] == [("de", 7), ("it", 7)]
    assert told["folds"] == []
    assert "Failed: it, seed 7" in (tmp_path / "rotation.md").read_text()
