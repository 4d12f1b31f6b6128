"""A trained run as a folder that Transformers loads: weights, configuration, feature extractor and model card."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import transformers
from safetensors import SafetensorError
from transformers import PreTrainedModel

from valenza.errors import DataError, UsageError, WriteError
from valenza.export.gate.parity import Clip
from valenza.export.gate.recordings import recordings
from valenza.export.hub.agreement import Agreement, compare
from valenza.export.hub.card import MANIFESTS, Facts, model_card
from valenza.export.hub.stock import extractor, obstacle, stock_model
from valenza.inference.hub import ValenzaForAudioClassification, config_of
from valenza.inference.model import recogniser_of, seen_of
from valenza.inference.recogniser import Decision, Recogniser
from valenza.model.adapters import merge
from valenza.model.network import Network
from valenza.recipe import Recipe
from valenza.shards.record import sync, writing
from valenza.stages.trained import newest_checkpoint, read_recipe
from valenza.terminal import say
from valenza.version import __version__

CLIPS = 24
REPORT = "parity.json"
"""What was compared with the run before the folder got its name; a folder that has it may be replaced."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    architecture: str
    """The class that Transformers loads."""
    reason: str
    """Why it is not a stock class; empty where it is one."""
    parity: dict[str, Any]


def export_hf(
    run: Path,
    out: Path,
    *,
    checkpoint: str | None = None,
    audio: Sequence[Path] = (),
    clips: int = CLIPS,
    manifests: Path = MANIFESTS,
) -> Exported:
    """Write a run's model at a named checkpoint, or the newest, to a folder for Transformers.

    What was written is compared with the run on so many recordings: of `audio`, files or folders, or of the run's
    corpora. Licences are looked up in `manifests` where shards are not there. A stock class is taken wherever one
    computes the same and gives every compared recording the same label; ours elsewhere.

    Raises `DataError` where what was written says something else than the run, and `UsageError` where `out` holds
    anything but an earlier export; `out` is then as it was.
    """
    _free(out)
    recipe, source = read_recipe(run), newest_checkpoint(run, checkpoint)
    recogniser = recogniser_of(run, recipe, source).cpu()
    merge(recogniser.network)
    longest = recogniser.network.encoder.hearing.window_samples
    chosen, of = recordings(recipe, audio, clips)
    heard = [clip[:longest] for clip in chosen], of
    shares = recogniser.shares
    decision = Decision(seen_of(run), tuple(shares.shift.tolist()), shares.temperature)
    about = {"run": run.resolve().name, "checkpoint": source.name, "valenza": __version__}
    with _replacing(out) as staging:
        architecture, reason, found = _written(staging, recipe, recogniser, decision, about, heard)
        parity = {"exported": "hf", **about, "transformers": transformers.__version__, "class": architecture,
                  "reason": reason, **asdict(found)}  # fmt: skip
        facts = Facts(run, recipe, decision, source.name, architecture, reason, parity, manifests)
        with writing(staging):
            (staging / "README.md").write_text(model_card(facts), encoding="utf-8")
            (staging / REPORT).write_text(json.dumps(parity, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return Exported(out, architecture, reason, parity)


def _written(
    staging: Path,
    recipe: Recipe,
    recogniser: Recogniser,
    decision: Decision,
    about: dict[str, str],
    heard: tuple[list[Clip], str],
) -> tuple[str, str, Agreement]:
    """Write the model, and return its class, why that is not a stock one, and how well it agrees with the run."""
    reason = obstacle(recipe, recogniser.network)
    if not reason and isinstance(recogniser.network, Network):
        model = stock_model(recogniser.network, decision)
        model.config.about = about
        _save(staging, model, recogniser, stock=True)
        found = compare(staging, recogniser, recipe, *heard)
        if not (reason := found.fault()):
            return type(model).__name__, "", found
        reason = f"as {type(model).__name__}, {reason}"
        _empty(staging)
    config = config_of(recipe, recogniser, decision, about)
    model = ValenzaForAudioClassification(config, recogniser)
    _save(staging, model, recogniser, stock=False)
    found = compare(staging, recogniser, recipe, *heard)
    if wrong := found.fault():
        raise DataError(f"{about['run']}: what was written is not what was trained: {wrong}; nothing was exported")
    return type(model).__name__, reason, found


def _save(staging: Path, model: PreTrainedModel, recogniser: Recogniser, *, stock: bool) -> None:
    try:
        with writing(staging):
            model.save_pretrained(staging)
            extractor(recogniser.network, stock=stock).save_pretrained(staging)
            for file in staging.iterdir():  # weights are written for their owner alone
                file.chmod(0o644)
    except (RuntimeError, SafetensorError) as error:  # a full disk may be either to torch and safetensors
        raise WriteError(f"{staging}: cannot be written: {error}") from None


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def show_export(exported: Exported) -> None:
    """Say what was written, and what its users must know."""
    say(f"{exported.folder}: {exported.architecture}, {_why(exported)}")
    differences = exported.parity["differences"]
    found = ", ".join(f"{what} {value:.1e}" for what, value in differences.items())
    clips, of = exported.parity["clips"], exported.parity["of"]
    say(f"agrees with the run on {of}: greatest differences {found}; every label is the same")
    if apart := exported.parity["predict"]:
        whisper = exported.architecture.startswith("Whisper")
        how = "at their own length, not as this run is scored" if whisper else "with the last frame repeated"
        say(
            f"`valenza predict` hears recordings {how}: probabilities differ by up to "
            f"{apart['probabilities']:.1e}, {apart['same_label']:.0f} of {clips} labels are the same"
        )


def _why(exported: Exported) -> str:
    if not exported.reason:
        return "which any Transformers loads"
    return f"which `import valenza.inference.hub` makes Transformers load; no stock class, since {exported.reason}"


def _free(out: Path) -> None:
    """Raise `UsageError` where a folder holds what this did not write."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        ours = json.loads((out / REPORT).read_text(encoding="utf-8"))["exported"] == "hf"
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise UsageError(f"{out} exists and is no earlier export; delete it first, or name another folder with --out")


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Lend a hidden folder that takes the name `out`, and the place of what was there, once all is written."""
    place = out.absolute()
    staging, old = (place.with_name(f".{place.name}.{what}") for what in ("exporting", "replaced"))
    with writing(out):  # what is left of an export that was killed
        _settle(place, old)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
    try:
        yield staging
        with writing(out):
            if place.exists():
                place.rename(old)
            staging.rename(place)
            sync(place.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        with writing(out):
            _settle(place, old)


def _settle(place: Path, old: Path) -> None:
    """Give what was replaced its name back if nothing has taken it, and delete it otherwise."""
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        old.rename(place)
