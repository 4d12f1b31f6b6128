"""What `valenza predict` gives: rows, timelines and pictures, on standard output, in one file or in a folder."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from valenza.errors import DataError, UsageError
from valenza.evaluation.temperature import read_temperature
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.files import write_whole
from valenza.inference.load import load
from valenza.labels.taxonomy import EMOTIONS
from valenza.stages.trained import FRAMEWISE, RECIPE, read_recipe
from valenza.terminal import say, track
from valenza.timeline.files import TOGETHER, Fault, Heard, hear_files
from valenza.timeline.formats import FORMATS, Options, suffix
from valenza.timeline.formats.options import legible
from valenza.timeline.post import Post
from valenza.timeline.sound import read_audio
from valenza.timeline.targets import Target, names
from valenza.timeline.windows import Windows


@dataclass(frozen=True)
class Wanted:
    """What is asked of recordings."""

    timeline: bool = False
    format: str = "csv"
    out: Target | None = None
    plot: Target | None = None
    ban: tuple[str, ...] = ()
    post: Post = field(default_factory=Post)
    windows: Windows = field(default_factory=Windows)
    options: Options = field(default_factory=Options)
    together: int = TOGETHER


def predict_files(place: str | Path, files: Sequence[Path], wanted: Wanted) -> None:
    """Hear files, and print or write what is wanted of them.

    What can be heard is written, also where other files cannot; `DataError` then names each of those. Raises
    `UsageError` and `WriteError` before anything is heard, where that can be known.
    """
    _check(files, wanted)
    model = load(place)
    check_left(model.seen, wanted.ban)
    _tell_calibration(Path(place), model.details.get("checkpoint", ""))
    heard: dict[Path, Heard] = {}
    faults: dict[Path, str] = {}
    called = names(files)
    windows = wanted.windows if wanted.timeline else None
    if windows is not None:
        windows.of(model)
    found = hear_files(model, files, windows, together=wanted.together)
    for each in track(found, "heard", len(files)):
        if isinstance(each, Fault):
            faults[each.path] = each.reason
            continue
        done = _finish(each, called[each.path], wanted)
        if done is not None:
            heard[each.path] = done
    _write([heard[file] for file in files if file in heard], called, wanted)
    if faults:
        raise DataError("\n".join(faults[file] for file in files if file in faults))


def _tell_calibration(run: Path, checkpoint: str) -> None:
    """Say so where the shares of a run were never calibrated; exported models tell that themselves."""
    if not (run / RECIPE).is_file():
        return
    recipe = read_recipe(run)
    if recipe.stage not in FRAMEWISE and read_temperature(run, checkpoint, recipe) is None:
        say(f"{run}: `valenza evaluate` has fitted no temperature to {checkpoint}, so shares are not calibrated")


def check_left(seen: Sequence[str], ban: Sequence[str]) -> None:
    """Raise `UsageError` where a ban leaves nothing that a model can tell."""
    if not set(seen) - set(ban):
        raise UsageError(f"--ban: the model tells {', '.join(seen)}, and none of these is left")


def _check(files: Sequence[Path], wanted: Wanted) -> None:
    for target, what in ((wanted.out, "--out"), (wanted.plot, "--plot")):
        if target is None:
            continue
        if not target.folder and len(files) > 1 and (what == "--plot" or not FORMATS[wanted.format].several):
            raise UsageError(f"{what}: {target.path} holds one recording and there are {len(files)}; name a folder")
        target.prepare()
    if wanted.plot is not None and not wanted.plot.folder and wanted.plot.path.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"--plot: {wanted.plot.path}: a picture is an .svg or a .png file")
    if wanted.out is None and len(files) > 1 and not FORMATS[wanted.format].several:
        raise UsageError(f"{wanted.format} holds one recording and there are {len(files)}; give --out a folder")


def _finish(heard: Heard, name: str, wanted: Wanted) -> Heard | None:
    """Return what is still to be written with the others, or nothing where it is written already."""
    if heard.timeline is None:
        return heard
    timeline = wanted.post.apply(heard.timeline.without(wanted.ban))
    needs = wanted.plot is not None or wanted.format == "arkit"
    audio = read_audio(heard.path) if needs else None
    if wanted.plot is not None:
        folder = wanted.plot.folder
        timeline.plot(wanted.plot.path / f"{name}.svg" if folder else wanted.plot.path, audio)
    if wanted.out is not None and not wanted.out.folder and FORMATS[wanted.format].several:
        return replace(heard, timeline=timeline)
    if wanted.out is None:
        if wanted.format != "arkit":
            return replace(heard, timeline=timeline)
        sys.stdout.write(FORMATS["arkit"]([timeline], replace(wanted.options, audio=audio)))
        return None
    ending = suffix(wanted.format, wanted.options.form)
    path = wanted.out.path / f"{name}{ending}" if wanted.out.folder else wanted.out.path
    write_whole(FORMATS[wanted.format]([timeline], replace(wanted.options, audio=audio)), path)
    return None


def _write(heard: Sequence[Heard], called: Mapping[Path, str], wanted: Wanted) -> None:
    if not heard:
        return
    if wanted.timeline:
        text = FORMATS[wanted.format]([t for each in heard if (t := each.timeline) is not None], wanted.options)
    else:
        rows = [_row(each, wanted) for each in heard]
        if wanted.out is not None and wanted.out.folder:
            for each, row in zip(heard, rows, strict=True):
                path = wanted.out.path / f"{called[each.path]}{suffix(wanted.format)}"
                write_whole(_rows([row], wanted), path)
            return
        text = _rows(rows, wanted)
    if wanted.out is None:
        sys.stdout.write(text)
    else:
        write_whole(text, wanted.out.path)
        say(f"wrote {wanted.out.path}")


def _row(heard: Heard, wanted: Wanted) -> dict[str, Any]:
    """Return what is told of a file: length in seconds, the likeliest emotion, its share, and everyone's."""
    assert heard.mixture is not None  # noqa: S101 - it was asked for
    kept, mixture, left = without(wanted.ban, heard.mixture)
    mixture = wanted.post.begin().step(0.0, mixture)
    best = int(mixture.argmax())
    row = {
        "file": legible(str(heard.path)),
        "duration": heard.samples / SAMPLE_RATE,
        "emotion": kept[best],
        "share": float(mixture[best]),
        "shares": dict(zip(kept, mixture.tolist(), strict=True)),
    }
    return row if heard.concentration is None else {**row, "concentration": left * heard.concentration}


def without(
    ban: Sequence[str], mixture: Float64[np.ndarray, " classes"]
) -> tuple[tuple[str, ...], Float64[np.ndarray, " kept"], float]:
    """Return the emotions that are not banned, their shares divided by their sum, and that sum.

    As `Timeline.without`: shares are alike where nothing is left, and a concentration goes down with the sum.
    """
    kept = [column for column, emotion in enumerate(EMOTIONS) if emotion not in ban]
    left = float(mixture[kept].sum())
    shares = mixture[kept] if left > 0 else np.ones(len(kept))
    return tuple(EMOTIONS[column] for column in kept), shares / shares.sum(), min(left, 1.0)


def _rows(rows: Sequence[dict[str, Any]], wanted: Wanted) -> str:
    """Return rows as CSV with a header, or as one JSON object with the key `files`."""
    if wanted.format == "json":
        return json.dumps({"files": list(rows)}, ensure_ascii=False, allow_nan=False) + "\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    sure = ["concentration"] if "concentration" in rows[0] else []
    writer.writerow(["file", "duration", "emotion", "share", *rows[0]["shares"], *sure])
    for row in rows:
        shares = [f"{share:.4f}" for share in row["shares"].values()]
        told = [row["file"], f"{row['duration']:.3f}", row["emotion"], f"{row['share']:.4f}", *shares]
        writer.writerow([*told, *(f"{row[name]:.6g}" for name in sure)])
    return text.getvalue()
