"""The tables of a study, as JSON, Markdown and a page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from valenza.evaluation.dynamic.beta import beta_markdown, summarise_betas
from valenza.evaluation.dynamic.intervals import Measured
from valenza.evaluation.dynamic.page import write_dynamic
from valenza.evaluation.dynamic.table import CLAIM, SYSTEMS, markdown, summarise
from valenza.evaluation.study.measure import SHARPENED, race_of, shown
from valenza.evaluation.study.plan import PARTS, Plan
from valenza.files import write_whole
from valenza.shards.stored import read_index
from valenza.stages.pairs.folder import PREFERENCES, read_pairs
from valenza.stages.pairs.simulated import Simulation
from valenza.training.report import read_metrics

RESULTS = "dynamic.json"


def tables(plan: Plan, measured: Sequence[Measured]) -> dict[str, Any]:
    """Return everything that a study comes to, as JSON can hold it."""
    settings = plan.settings
    sliding, student = SYSTEMS[1], SYSTEMS[3]
    return {
        "format": 1,
        "study": settings.model_dump(mode="json", exclude={"shards"}),  # where they are is no part of the result
        "speakers": {part: {c: len(s) for c, s in plan.roles[part].items()} for part in PARTS},
        "tracks": {name: read_index(plan.tracks, [name]).num_rows for name in plan.sets(*PARTS)},
        "preferences": [tuning(plan, seed) for seed in settings.seeds],
        "note": note(plan),
        "systems": summarise(measured, order=SYSTEMS, claim=CLAIM),
        "sharpened": summarise(measured, order=(sliding, SHARPENED, student, SYSTEMS[4])),
        "betas": summarise_betas(measured, betas=settings.preference.betas, reference=settings.preference.beta),
        "race": race_of(plan, settings.seeds[0]),
    }


def note(plan: Plan) -> str:
    """Return how the preferences of a study were obtained."""
    asked = plan.settings.pairs
    return Simulation("a-simulated", asked.error_rate, asked.tie_zone, 0, ()).note


def tuning(plan: Plan, seed: int) -> dict[str, Any]:
    """Return what the pairs of a seed were, and the implicit rewards at the end of its tuning."""
    folder = plan.pairs(seed)
    study, lines = read_pairs(folder), (folder / PREFERENCES).read_text(encoding="utf-8").splitlines()
    rewards = {}
    for beta in plan.settings.preference.betas:
        steps = [
            line for line in read_metrics(plan.run("preference", seed, beta=beta) / "metrics.jsonl") if "loss" in line
        ]
        last = steps[-max(1, len(steps) // 10) :]
        rewards[f"{beta:g}"] = {key: sum(line[key] for line in last) / len(last) for key in ("accuracy", "margin")}
    return {"seed": seed, "preferences": len(lines), **study.made["counts"], "rewards": rewards}


def text(found: Mapping[str, Any]) -> str:
    """Return the tables in Markdown."""
    study, speed = found["study"], _speed(found["race"])
    counted = ", ".join(f"{one['preferences']:,}" for one in found["preferences"])
    judged = sum(count for name, count in found["tracks"].items() if name.endswith("-preferences"))
    parts = [
        "## Systems (table 3)\n",
        markdown(found["systems"], note=found["note"]),
        f"{counted} preferences (by seed), from up to {judged:,} tracks of speakers that are neither trained on nor "
        "scored.\n",
        "## What sharpening alone is worth\n",
        f"The student learns what the sliding window said, at temperature {study['teacher']['temperature']:g}. MAE "
        "rewards mixtures that are sure of themselves, F1 does not; here is the sliding window at that temperature.\n",
        markdown(found["sharpened"]),
        "## Strength of the tuning (table 4)\n",
        beta_markdown(found["betas"], note=found["note"]),
        "## Speed\n",
        speed,
    ]
    return "\n".join(parts) + "\n"


def _speed(race: Mapping[str, Any]) -> str:
    return (
        f"One pass of the student over {race['seconds']:g} s takes {race['second']:.3f} s, the sliding window of "
        f"{race['window']:g} s every {race['step']:g} s {race['first']:.3f} s: **{race['ratio']:.1f} × faster** "
        f"[{race['ci95'][0]:.1f}, {race['ci95'][1]:.1f}], medians of {race['rounds']} turns in one run on "
        f"{race['device']}, threads: {race['threads']}."
    )


def remarks(found: Mapping[str, Any]) -> str:
    """Return what has to be known beside the table of systems: preferences, sharpening and speed."""
    rows = {row["system"]: row["scores"] for row in found["sharpened"]["sets"][0]["rows"]}
    sharper = rows[SHARPENED]
    return (
        f"{found['note']} MAE rewards mixtures that are sure of themselves: the sliding window, sharpened to the "
        f"temperature of the student's labels, has MAE {sharper['mae']['mean']:.4f} and macro-F1 "
        f"{100 * sharper['macro_f1']['mean']:.1f}. " + _speed(found["race"]).replace("*", "")
    )


def write_tables(plan: Plan, found: Mapping[str, Any], into: Path) -> None:
    """Write the tables in Markdown, what they are made from as JSON beside them, and the page in the study's folder."""
    write_whole(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n", into.with_suffix(".json"))
    write_whole(text(found), into)
    pictures = shown(plan, plan.settings.seeds[0])
    page = plan.out / "report" / "index.html"
    write_dynamic(found["systems"], pictures, page, betas=found["betas"], note=remarks(found))
