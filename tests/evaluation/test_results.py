"""results.json and the tables and page that are made from it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valenza.errors import UsageError, WriteError
from valenza.evaluation.baselines.chance import majority, random_head
from valenza.evaluation.page.charts import nice_ticks
from valenza.evaluation.page.history import history
from valenza.evaluation.page.report import write_report
from valenza.evaluation.protocol import columns, predict
from valenza.evaluation.results import markdown_table, read_results, replace_table, show_results, write_results
from valenza.evaluation.score import baseline, compare, score
from valenza.labels.taxonomy import EMOTIONS

FOUR = ["happiness", "sadness", "anger", "neutral"]
EVIL = "<script>alert(1)</script> | \"'&"


def scored(clips: int = 200, speakers: int = 8, title: str = EVIL) -> dict[str, Any]:
    generator = np.random.default_rng(5)
    labels = generator.choice(columns(FOUR), clips)
    logits = generator.normal(0, 1, (clips, 8))
    logits[np.arange(clips), labels] += 1.5
    probabilities = predict(logits, FOUR, None)
    who = generator.integers(0, speakers, clips)
    groups = {
        "speaker": who,
        "recording": np.arange(clips),
        "language": np.array(["de", "ur"])[who % 2],
        "gender": np.array(["F", "unknown"])[who % 2],
    }
    heads = random_head(generator.normal(0, 1, (clips, 4)), FOUR, seed=1)
    found = score(labels, probabilities, FOUR, groups, seed=1)
    return {
        "title": title, "zero_shot": True, "languages": ["de", "ur"], "left_out": 3, "classes": FOUR, **found,
        "variants": {"masked_raw": {"metrics": found["metrics"], "ci95": found["ci95"]}},
        "baselines": {
            "random_head": compare(labels, probabilities, heads, FOUR, groups, seed=1) | {"draws": 20},
            "majority": baseline(labels, majority(np.full(8, 1 / 8), FOUR, clips), FOUR),
            "frozen_probe": compare(labels, probabilities, labels[None], FOUR, groups, seed=1) | {"layer": 2},
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    prior = dict(zip(EMOTIONS, [1 / 8] * 8, strict=True))
    return {"format": 1, "checkpoint": "step-00000010", "run": "first", "prior": prior, "corpora": {"x": scored()}}


def test_the_parts_agree_with_one_another(results: dict[str, Any]) -> None:
    corpus = results["corpora"]["x"]
    confusion = np.array(corpus["confusion"])
    assert corpus["metrics"]["micro_f1"] == pytest.approx(np.trace(confusion) / 200)
    assert sum(group["clips"] for group in corpus["by_language"].values()) == corpus["clips"] == 200
    assert sum(bin_["clips"] for bin_ in corpus["reliability"]) == 200
    low, high = corpus["ci95"]["micro_f1"]
    assert low < corpus["metrics"]["micro_f1"] < high
    probe, random = corpus["baselines"]["frozen_probe"], corpus["baselines"]["random_head"]
    assert probe["micro_f1"] == 1.0
    assert probe["gain"] == pytest.approx(corpus["metrics"]["micro_f1"] - 1)
    assert random["gain_ci95"][0] < random["gain"] < random["gain_ci95"][1]
    weights = [corpus["by_language"][k]["clips"] / 200 for k in ("de", "ur")]
    assert random["micro_f1"] == pytest.approx(
        np.dot(weights, [random["by_language"][k]["micro_f1"] for k in ("de", "ur")])
    )


def test_written_is_what_is_read_and_nan_is_null(results: dict[str, Any], tmp_path: Path) -> None:
    changed = json.loads(json.dumps(results))
    changed["corpora"]["x"]["per_class_f1"]["anger"] = float("nan")
    write_results(changed, tmp_path / "results.json")
    text = (tmp_path / "results.json").read_text()
    assert "NaN" not in text
    read = read_results(tmp_path / "results.json")
    assert read.corpora["x"].per_class_f1["anger"] is None
    assert read.corpora["x"].confusion == results["corpora"]["x"]["confusion"]
    assert json.loads(text)["corpora"]["x"]["baselines"]["random_head"]["draws"] == 20
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_mistakes_are_explained(results: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="valenza evaluate"):
        read_results(tmp_path / "none.json")
    (tmp_path / "old.json").write_text('{"format": 2, "checkpoint": "x", "corpora": {}}')
    with pytest.raises(UsageError, match="format"):
        read_results(tmp_path / "old.json")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot be written"):
        write_results(results, tmp_path / "file" / "results.json")


def test_tables_are_generated(results: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in ("one", "two"):
        write_results({**results, "run": run}, tmp_path / run / "results.json")
    table = markdown_table([tmp_path / "one" / "results.json", tmp_path / "two" / "results.json"])
    lines = table.splitlines()
    assert len(lines) == 4
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert lines[2].startswith("| one | x | de, ur | 200 | ")
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    replace_table(page, table)
    replace_table(page, table)
    assert page.read_text() == f"before\n<!-- results -->\n\n{table}\n<!-- /results -->\nafter\n"
    with pytest.raises(UsageError, match="needs one line"):
        replace_table(tmp_path / "one" / "results.json", table)
    show_results(results)
    assert "step-00000010" in capsys.readouterr().out


def test_one_voice_is_resampled_by_clips_and_says_so() -> None:
    corpus = scored(clips=30, speakers=1)
    assert corpus["resampled"] == "clips"
    assert "nothing of other voices" in corpus["ci95_reason"]
    low, high = corpus["ci95"]["micro_f1"]
    assert low < corpus["metrics"]["micro_f1"] < high
    assert "gain_ci95" in corpus["baselines"]["random_head"]


def test_every_speaker_is_scored_alone(results: dict[str, Any]) -> None:
    corpus = results["corpora"]["x"]
    assert len(corpus["by_speaker"]) == corpus["speakers"] == 8
    assert sum(group["clips"] for group in corpus["by_speaker"].values()) == 200
    right = [group["clips"] * group["metrics"]["micro_f1"] for group in corpus["by_speaker"].values()]
    assert sum(right) / 200 == pytest.approx(corpus["metrics"]["micro_f1"])
    assert {group["resampled"] for group in corpus["by_speaker"].values()} == {"clips"}


class Page(HTMLParser):
    """Checks that elements close, and gathers what matters."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def run_folder(folder: Path) -> Path:
    lines = [{"step": s, "loss": 2 / s, "lr": 1e-4} for s in range(1, 901)]
    lines += [
        {"step": 5, "loss": None},
        {"step": 9, "validation": {"micro_f1": 0.25}},
        {"step": 9, "validation": {"micro_f1": 0.5}},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 10, "lo'
    (folder / "metrics.jsonl").write_text(text)
    (folder / "recipe.yaml").write_text("stage: utterance  # <b>\n")
    (folder / "environment.json").write_text('{"python": "3.11", "host": {"gpus": []}}')
    return folder


def test_the_page_is_whole_and_fetches_nothing(results: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "report" / "index.html"
    labels = {"x": dict.fromkeys(EMOTIONS, 3.0), EVIL: dict.fromkeys(EMOTIONS, 0.0)}
    write_report({**results, "run": EVIL}, run_folder(tmp_path), labels, out)
    text = out.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert not {"script", "link", "iframe", "img", "b"} & set(page.tags)
    assert not re.search(r"https?://|url\(|@import", text)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert text.count('role="img"') == text.count("aria-label") >= 6
    assert EVIL in page.text
    assert "best 50.0 at step 9" in page.text


def test_the_page_stands_without_a_run_folder(results: dict[str, Any], tmp_path: Path) -> None:
    bare = {
        "format": 1,
        "checkpoint": "c",
        "corpora": {"x": {**results["corpora"]["x"], "baselines": {}, "variants": {}}},
    }
    write_report(bare, tmp_path, {}, tmp_path / "index.html")
    assert "no metrics.jsonl" in (tmp_path / "index.html").read_text()


def test_the_later_of_two_lines_and_gaps_are_kept(tmp_path: Path) -> None:
    loss, validation = history(run_folder(tmp_path) / "metrics.jsonl")
    assert (validation.steps, validation.values) == ([9.0], [0.5])
    assert len(loss.steps) == 900
    assert np.isnan(loss.values[4])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.31, 0.97), (-3.0, 8e3), (2.0, 2.0), (0.0, 0.0), (1e-9, 3e-9)])
def test_ticks_enclose_the_values(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low <= high <= ticks[-1]
    assert 3 <= len(ticks) <= 7
