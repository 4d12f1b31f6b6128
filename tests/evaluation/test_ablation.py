"""A real ablation over tiny corpora: paired differences, rows that are finished, and the table."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from valenza.errors import UsageError
from valenza.evaluation.results import read_results
from valenza.evaluation.rotation.ablation import ablate, markdown

FAST = "training.steps=3, training.checkpoint_every=3, training.validate_every=3, evaluation.padding=none"
ROWS = {
    "as it is": "{only: [de, it]}",
    "the same": "{only: [de, it]}",
    "faster, on one": "{settings: [training.peak_lr=0.1], only: [de], against: the same}",
    "on another": "{settings: [training.peak_lr=0.1, training.steps=20], only: [it]}",
}


def write(corner: Any, file: Path, rows: dict[str, str], seeds: str = "7") -> Path:
    text = f"recipe: {corner.recipe}\nseeds: [{seeds}]\ncommon: [{FAST}]\nrows:\n"
    file.write_text(text + "".join(f"  {name}: {row}\n" for name, row in rows.items()))
    return file


@pytest.fixture(scope="module")
def here(corner: Any) -> Iterator[None]:
    """Train in this process as a user would: one thread, no launcher, one cache."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
            patch.delenv(name, raising=False)
        patch.setenv("VALENZA_CACHE", str(corner.folder / "cache"))
        yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def made(corner: Any, here: None) -> tuple[Path, Path, dict[str, Any]]:
    table, out = write(corner, corner.folder / "table.yaml", ROWS), corner.folder / "ablation"
    return table, out, ablate(table, out=out)


Made = tuple[Path, Path, dict[str, Any]]


def macro(out: Path, run: str, corpus: str) -> float:
    value = read_results(out / run / "results.json").corpora[corpus].metrics.macro_f1
    assert value is not None
    return value


def test_every_row_is_a_rotation_of_its_own(made: Made) -> None:
    _, out, found = made
    rows = {row["row"]: row for row in found["rows"]}
    assert list(rows) == list(ROWS)
    assert sorted(p.name for p in out.iterdir()) == ["as_it_is", "faster,_on_one", "on_another", "the_same"]
    for name, folder, folds in (("as it is", "as_it_is", {"de": "german", "it": "italian"}),
                                ("on another", "on_another", {"it": "italian"})):  # fmt: skip
        wanted = {fold: macro(out, f"{folder}/{fold}-7", corpus) for fold, corpus in folds.items()}
        assert rows[name]["macro_f1"] == pytest.approx(wanted)
        assert rows[name]["model"]["macro_f1"]["mean"] == pytest.approx(np.mean(list(wanted.values())))
        probes = [read_results(out / folder / f"{fold}-7" / "results.json").domain_probe for fold in folds]
        told = {kind: np.mean([probe[kind].accuracy for probe in probes]) for kind in ("corpus", "speaker")}
        assert rows[name]["domain_probe"] == pytest.approx(told)
    assert set(rows["as it is"]["baselines"]) == {"random_head", "majority", "frozen_probe"}


def test_differences_are_paired_and_over_the_folds_of_both(made: Made) -> None:
    _, out, found = made
    first, same, faster, another = found["rows"]
    assert "difference" not in first
    # The same speakers are drawn for both, so that nothing differs in any draw.
    assert same["difference"] == {"value": 0.0, "ci95": [0.0, 0.0], "p": 1.0}
    assert (same["against"], faster["against"], another["against"]) == ("as it is", "the same", "as it is")
    for row, run, corpus in ((faster, "faster,_on_one/de-7", "german"), (another, "on_another/it-7", "italian")):
        other = macro(out, f"as_it_is/{run.split('/')[1]}", corpus)
        gap = row["difference"]
        assert gap["value"] == pytest.approx(macro(out, run, corpus) - other)
        assert gap["ci95"][0] <= gap["value"] <= gap["ci95"][1]
        assert 0 < gap["p"] <= 1
    assert another["difference"]["value"] != 0


def test_what_is_finished_is_not_trained_again(corner: Any, made: Made, here: None, tmp_path: Path) -> None:
    table, out, found = made
    before = {path: path.stat().st_mtime_ns for path in out.rglob("step-*/*")}
    assert len(before) >= 4 * 6
    assert ablate(table, out=out) == found
    more = write(corner, tmp_path / "table.yaml", {"the same": ROWS["the same"]})
    (row,) = ablate(more, out=out)["rows"]
    assert row["macro_f1"] == found["rows"][1]["macro_f1"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("step-*/*")} == before


def test_the_table_has_a_column_for_every_fold_and_a_line_for_every_row_and_baseline(made: Made) -> None:
    lines = markdown(made[2]).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:9]]
    scores = ["micro-F1 [95 %]", "macro-F1 [95 %]"]
    assert cells[0] == ["", *scores, "difference [95 %]", "de", "it", "corpus told", "speaker told"]
    assert {len(row) for row in cells} == {8}
    assert [row[0] for row in cells[2:6]] == list(ROWS)
    assert (cells[2][3], cells[3][3]) == ("", "+0.0 [+0.0, +0.0]")
    assert cells[4][3].endswith("from the same")
    assert (cells[4][5], cells[5][4]) == ("–", "–")  # folds that these rows do not hold out
    assert [row[0] for row in cells[6:9]] == ["random head", "majority", "frozen probe"]
    assert "seeds 7" in lines[-1]


def test_by_the_command_line_one_row_with_a_comma_in_its_name(corner: Any, made: Made, tmp_path: Path) -> None:
    table, out, found = made
    chosen = ("--row", "faster, on one", "--row", "the same")
    ended = corner.run("ablate", table, "--out", out, "--into", tmp_path / "page.md", "--json", *chosen)
    assert ended.code == 0, ended.err
    assert [row["row"] for row in ended.json["rows"]] == ["the same", "faster, on one"]
    assert ended.json["rows"][1]["difference"]["value"] == found["rows"][2]["difference"]["value"]
    assert json.loads((tmp_path / "page.json").read_text()) == ended.json
    assert (tmp_path / "page.md").read_text() == markdown(ended.json)


def test_64_for_rows_that_are_not_there_or_cannot_be_compared(corner: Any, made: Made, tmp_path: Path) -> None:
    table, out, _ = made
    ended = corner.run("ablate", table, "--out", out, "--row", "the sane")
    assert (ended.code, "no row 'the sane'; did you mean 'the same'?" in ended.err) == (64, True), ended.err
    assert corner.run("ablate", tmp_path / "none.yaml").code == 64
    with pytest.raises(UsageError, match="'the same', which is not to be done"):
        ablate(table, out=out, only=["faster, on one"])
    with pytest.raises(UsageError, match="'on another' holds out nothing that 'faster, on one' does"):
        ablate(write(corner, tmp_path / "a.yaml", {
            "faster, on one": "{only: [de]}", "on another": "{only: [it]}"
        }), out=tmp_path)  # fmt: skip
    with pytest.raises(UsageError, match="no row 'nobody'"):
        ablate(write(corner, tmp_path / "b.yaml", {"a": "{against: nobody}"}), out=tmp_path)
    with pytest.raises(UsageError, match="seeds"):
        ablate(write(corner, tmp_path / "c.yaml", {"a": "[]"}, seeds=""), out=tmp_path)
