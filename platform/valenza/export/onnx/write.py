"""`valenza export --to onnx`: build, check, write."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valenza.errors import DataError
from valenza.export.gate.cost import MOST, precision_cost, scored_corpora
from valenza.export.gate.parity import LIMITS, compare
from valenza.export.gate.recordings import recordings
from valenza.export.hub.card import MANIFESTS
from valenza.export.licences import strictest
from valenza.export.lineage import lineage
from valenza.export.onnx import graph
from valenza.export.onnx.precision import to_eight_bits, to_half
from valenza.export.onnx.weights import draft, keep, write
from valenza.files import write_whole
from valenza.inference.model import TorchEngine, recogniser_of
from valenza.inference.onnx import load_onnx
from valenza.inference.recogniser import Recogniser
from valenza.model.adapters import merge
from valenza.recipe import Recipe
from valenza.stages.trained import FRAMEWISE, newest_checkpoint, read_recipe
from valenza.terminal import say, table


@dataclass(frozen=True)
class Check:
    """What a gate asks before a file is kept."""

    audio: tuple[Path, ...] = ()
    """Recordings or folders of them; those of the run's corpora where none is named."""
    clips: int = 16


def export_onnx(
    run: Path,
    out: Path,
    *,
    source: graph.Source = "waveform",
    precision: graph.Precision = "fp32",
    checkpoint: str | None = None,
    check: Check | None = None,
    manifests: Path = MANIFESTS,
) -> dict[str, Any]:
    """Write a run's network as an ONNX file, and `<name>.parity.json` beside it; return that report.

    Raises `DataError`, and keeps the report but no model, where the file does not say what the network says.
    """
    check = check or Check()
    recipe, from_ = read_recipe(run), newest_checkpoint(run, checkpoint)
    clips, heard = recordings(recipe, check.audio, check.clips)
    say(f"tracing the network of {run} at {from_.name}")
    model = _traced(recogniser_of(run, recipe, from_).cpu(), source, precision)
    recogniser = recogniser_of(run, recipe, from_).cpu()  # as it was trained, with its adapters
    known = graph.properties(recogniser, source, described(run, recipe, from_, precision, manifests))
    with draft(out) as held:
        write(graph.finish(model, known), held)
        engine = load_onnx(held).engine
        parity = compare(recogniser, engine, clips, LIMITS[precision])
        report = {"file": out.name, "precision": precision, "recordings": heard, **parity.report()}
        if precision != "fp32" and not scored_corpora(recipe):
            say(f"{recipe.data.shards}: without the shards of the run's corpora, what {precision} costs is not scored")
        elif precision != "fp32":
            report["scores"] = precision_cost(recipe, TorchEngine(recogniser), engine)
            report["faults"] += _lost(report["scores"])
        report["passed"] = not report["faults"]
        report["bytes"] = sum(file.stat().st_size for file in held.parent.iterdir())
        beside = out.with_name(f"{out.name}.parity.json")
        write_whole(json.dumps(report, indent=1, allow_nan=False) + "\n", beside)
        if report["faults"]:
            faults = "\n".join(report["faults"])
            raise DataError(f"{out}: not written, for it is not the network; see {beside}\n{faults}")
        keep(held, out)
    return report


def _traced(recogniser: Recogniser, source: graph.Source, precision: graph.Precision) -> Any:
    """Return the model of a network, whose adapters are written into its weights: what is added to is no weight."""
    merge(recogniser.network)
    model = graph.to_onnx(recogniser, source)
    return model if precision == "fp32" else {"fp16": to_half, "int8": to_eight_bits}[precision](model)


def _lost(scores: dict[str, Any]) -> list[str]:
    return [
        f"{name}: macro-F1 falls by {100 * each['macro_f1_loss']:.1f} points, more than {100 * MOST:g}"
        for name, each in scores.items()
        if each["macro_f1_loss"] > MOST
    ]


def described(run: Path, recipe: Recipe, source: Path, precision: graph.Precision, manifests: Path) -> dict[str, str]:
    """Return what an exported file says of where it comes from, and of what its training data allow."""
    learned = lineage(run, recipe, manifests)
    return {
        "name": run.resolve().name,
        "checkpoint": source.name,
        "precision": precision,
        "framewise": "true" if recipe.stage in FRAMEWISE else "false",
        "corpora": json.dumps({corpus.name: corpus.licence for corpus in learned.corpora}, ensure_ascii=False),
        "licence": strictest(learned.kinds),
    }


def show_parity(report: dict[str, Any]) -> None:
    """Print the greatest differences, by length and batch, and what the precision costs."""
    rows = [
        (
            f"{cell['seconds']:g} s",
            str(cell["batch"]),
            str(cell["recordings"]),
            f"{cell['logits']:.1e}",
            f"{cell['probabilities']:.1e}",
            f"{cell['frames']:.1e}",
            f"{cell['concentration']:.1e}",
            f"{cell['same_label']}/{cell['recordings']}",
        )
        for cell in report["cells"]
    ]
    names = ("length", "batch", "recordings", "logits", "probabilities", "frames", "concentration", "same label")
    table(f"{report['file']} against the network: greatest difference", names, rows)
    for name, each in report.get("scores", {}).items():
        own, lost = each["network"]["macro_f1"], each["macro_f1_loss"]
        say(f"{name}: macro-F1 {100 * own:.1f}, {100 * lost:+.1f} points lost on {each['clips']} clips")
