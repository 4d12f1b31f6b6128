"""The model card says what the run's files say, loudly where a licence forbids something, and invents nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from hypothesis import given
from hypothesis import strategies as st

from valenza.config import load
from valenza.corpora.card import find_cards, read_card
from valenza.export.hub.card import Facts, model_card
from valenza.export.licences import FREE, KINDS, kind, strictest
from valenza.inference.recogniser import Decision
from valenza.labels.taxonomy import EMOTIONS
from valenza.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "datasets_manifests"
RECIPE = """stage: utterance
data: {{shards: {shards}, train: {train}, zero_shot: [emodb]}}
encoder: {encoder}
training: {{steps: 1, windows_per_step: 1, peak_lr: 1e-3}}
evaluation: {{padding: none}}
"""
SEEN = tuple(emotion for emotion in EMOTIONS if emotion != "other")


def facts(
    folder: Path, train: str = "{ravdess: 1}", encoder: str = "{name: openai/whisper-base}", **more: Any
) -> Facts:
    run = folder / "my_run"
    run.mkdir(exist_ok=True)
    (run / "recipe.yaml").write_text(RECIPE.format(shards=folder / "none", train=train, encoder=encoder))
    recipe = load(Recipe, run / "recipe.yaml")
    given = {"checkpoint": "step-00000400", "architecture": "ValenzaForAudioClassification", "manifests": MANIFESTS}
    return Facts(run, recipe, Decision(SEEN, (0.0,) * 8), **(given | more))


def scored(folder: Path, checkpoint: str = "step-00000400") -> dict[str, Any]:
    """Write the results of a real run beside a recipe."""
    results = json.loads((ROOT / "recipes" / "results" / "real_small-7.json").read_text())
    results["checkpoint"] = checkpoint
    (folder / "my_run").mkdir(exist_ok=True)
    (folder / "my_run" / "results.json").write_text(json.dumps(results))
    return dict(results)


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC BY-NC-SA 4.0", "non-commercial"),
        ("CC BY-NC-ND 4.0", "non-commercial"),
        ("own; a later publication says CC BY-NC 4.0", "non-commercial"),
        ("CC BY 4.0, not for commercial use", "non-commercial"),
        ("MIT; no commercial use", "non-commercial"),
        ("CC BY 4.0; commercial use is not permitted", "non-commercial"),
        ("CC BY 4.0; commercial use prohibited", "non-commercial"),
        ("noncommercial", "non-commercial"),
        ("CC BY 4.0 for commercial use by a fee", "restricted"),
        ("Apache 2.0, for educational purposes only", "restricted"),
        ("CC BY 3.0 US, non profit", "restricted"),
        ("research only", "restricted"),
        ("research only; the public copy states no terms", "restricted"),
        ("academic or commercial, by a signed form", "restricted"),
        ("GPL-3.0 for the annotation; the films are copyrighted", "restricted"),
        ("CC BY-ND 4.0", "restricted"),
        ("none stated; a mirror says CC BY 4.0", "unknown"),
        ("not verified; CC BY 4.0 by another list", "unknown"),
        ("not verified", "unknown"),
        ("own, free use with attribution", "unknown"),
        ("", "unknown"),
        ("the Vulcan Public Licence", "unknown"),
        ("CC BY 4.0 for the audio", "unknown"),
        ("CC BY 4.0, the films as they are", "unknown"),
        ("CC BY-SA 4.0", "share-alike"),
        ("CC BY 4.0; GPL-3.0", "share-alike"),
        ("ODbL 1.0, contents DbCL 1.0", "share-alike"),
        ("CC BY 4.0", "permissive"),
        ("CC0 1.0", "permissive"),
        ("MIT", "permissive"),
        ("Apache-2.0", "permissive"),
        ("BSD-3-Clause", "permissive"),
        ("CC BY 4.0 International", "permissive"),
    ],
)
def test_a_licence_is_of_the_strictest_kind_that_its_words_speak_of(licence: str, expected: str) -> None:
    assert kind(licence) == expected


def test_no_shipped_manifest_that_restricts_passes_for_free() -> None:
    cards = [read_card(path) for path in find_cards(MANIFESTS).values()]
    assert len(cards) > 30
    for card in cards:
        if kind(card.licence, card.access) in FREE:
            assert card.access in ("open", None), card.id
            assert re.match(r"CC BY(-SA)? 4\.0|CC0|MIT|ODbL", card.licence), card.id
    assert kind("CC BY 4.0", "agreement") == "restricted", "access may be stricter than the licence"


@given(st.text())
def test_words_that_nobody_knows_are_never_permissive(text: str) -> None:
    if not re.search(r"cc|mit|apache|bsd|public|domain|dbcl|pddl|odbl|gpl", text.lower()):
        assert kind(text) not in FREE


@given(st.lists(st.sampled_from(KINDS)))
def test_the_strictest_kind_is_none_of_the_freer_ones(kinds: list[Any]) -> None:
    assert all(KINDS.index(strictest(kinds)) <= KINDS.index(one) for one in kinds)


def test_the_hub_reads_every_score_of_the_front_matter(tmp_path: Path) -> None:
    results = scored(tmp_path)
    card = ModelCard(model_card(facts(tmp_path)))
    data = card.data
    assert (data.license, data.license_name) == ("other", "non-commercial-training-data")
    assert (data.language, data.pipeline_tag, data.library_name) == (["en"], "audio-classification", "transformers")
    assert data.base_model == "openai/whisper-base"
    index = eval_results_to_model_index(data.model_name, data.eval_results)
    assert model_index_to_eval_results(index)[1] == data.eval_results
    said = {(r.dataset_type, r.dataset_config, r.metric_name): r.metric_value for r in data.eval_results}
    for corpus, scores in results["corpora"].items():
        language = scores["languages"][0] if len(scores["languages"]) == 1 else "all"
        metrics = scores["metrics"]
        assert said[corpus, language, "micro-F1"] == round(metrics["micro_f1"], 4)
        assert said[corpus, language, "UA (mean recall)"] == round(metrics["ua"], 4)
    assert f"{100 * results['corpora']['emodb']['metrics']['micro_f1']:.1f}" in card.text


def test_each_language_of_a_corpus_has_its_own_results(tmp_path: Path) -> None:
    results = scored(tmp_path)
    emodb = results["corpora"]["emodb"]
    emodb["languages"] = ["de", "fr"]
    emodb["by_language"]["fr"] = json.loads(json.dumps(emodb["by_language"]["de"]))
    emodb["by_language"]["fr"]["metrics"]["micro_f1"] = 0.125
    emodb["by_language"]["fr"]["metrics"]["ece"] = None
    (tmp_path / "my_run" / "results.json").write_text(json.dumps(results))
    data = ModelCard(model_card(facts(tmp_path))).data
    found = {(r.dataset_config, r.metric_name): r.metric_value for r in data.eval_results}
    assert found["fr", "micro-F1"] == 0.125
    assert found["de", "micro-F1"] == found["all", "micro-F1"] != 0.125
    assert ("fr", "expected calibration error") not in found, "a score that does not exist is no score"


@pytest.mark.parametrize(
    ("train", "name", "said"),
    [
        ("{ravdess: 1, emodb_x: 1}", "non-commercial-training-data", "Not for commercial use"),
        ("{casia: 1}", "research-only-training-data", "Not free to use"),
        ("{nobody_knows: 1}", "unknown-training-data-licence", "Of unknown licence"),
    ],
)
def test_what_may_not_be_done_stands_before_everything_else(tmp_path: Path, train: str, name: str, said: str) -> None:
    card = ModelCard(model_card(facts(tmp_path, train.replace("emodb_x", "cafe"))))
    assert (card.data.license, card.data.license_name) == ("other", name)
    lines = card.text.strip().splitlines()
    assert lines[0] == "# my_run"
    assert lines[2].startswith(f"> **{said}")


def test_free_data_makes_no_permissive_licence(tmp_path: Path) -> None:
    text = model_card(facts(tmp_path, "{jl_corpus: 1}"))
    card = ModelCard(text)
    assert card.data.license == "other"
    assert kind(read_card(MANIFESTS / "jl_corpus.yaml").licence) in FREE
    assert "No licence was chosen" in card.text
    assert "> **" not in card.text


def test_what_is_not_known_is_said_to_be_unknown(tmp_path: Path) -> None:
    text = model_card(facts(tmp_path, "{nobody_knows: 1}", "{name: ~/secret/my-encoder}"))
    card = ModelCard(text)
    assert "Unknown: the run was not evaluated" in card.text
    assert card.data.eval_results is None
    assert card.data.language is None
    assert card.data.base_model is None
    assert "| `nobody_knows` | unknown | unknown | unknown | unknown | not known here |" in card.text
    assert "a local folder, `my-encoder`" in card.text
    assert "secret" not in text
    assert str(tmp_path) not in text
    scored(tmp_path, "step-00000200")
    assert "what was evaluated is step-00000200, and this is step-00000400" in model_card(facts(tmp_path))


def test_what_the_run_started_from_is_part_of_what_it_learned(tmp_path: Path) -> None:
    earlier = facts(tmp_path, "{ravdess: 1}").run
    earlier = earlier.rename(tmp_path / "first")
    later = tmp_path / "my_run"
    later.mkdir()
    (later / "recipe.yaml").write_text(
        f"stage: adapt\ndata: {{shards: {tmp_path / 'none'}, train: {{emodb: 1}}}}\nadapt: {{from: {earlier}}}\n"
        "training: {steps: 1, windows_per_step: 1, peak_lr: 1e-3}\n"
        "encoder: {name: openai/whisper-base}\n"
    )
    known = Facts(later, load(Recipe, later / "recipe.yaml"), Decision(SEEN, (0.0,) * 8), "step-1", "X",
                  manifests=MANIFESTS)  # fmt: skip
    text = model_card(known)
    assert "> * non-commercial: `ravdess` (CC BY-NC-SA 4.0)" in text
    assert "| `emodb` |" in text
    earlier.rename(tmp_path / "gone")
    text = model_card(known)
    assert "> * unknown: what first, which it started from, was trained on" in text
    assert ModelCard(text).data.license_name == "unknown-training-data-licence"


def test_every_card_tells_what_the_model_is_not_for(tmp_path: Path) -> None:
    text = " ".join(model_card(facts(tmp_path)).split())
    for word in (
        "hiring",
        "policing",
        "diagnosis",
        "5(1)(f) of Regulation (EU) 2024/1689",
        "not legal advice",
        "acted",
    ):
        assert word in text
    assert "Training had no `other`" in text
    assert "import valenza.inference.hub" in text
    assert "import valenza.inference.hub" not in model_card(
        facts(tmp_path, architecture="WhisperForAudioClassification")
    )
