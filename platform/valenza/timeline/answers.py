"""What `valenza predict` gives: rows, timelines and pictures, on standard output, in one file or in a folder."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from valenza.timeline.plot import check_name
from valenza.timeline.post import Post, slots
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
    called = names(files)
    _check(files, called, wanted)
    model = load(place)
    check_left(model.seen, wanted.ban)
    _tell_calibration(Path(place), model.details.get("checkpoint", ""))
    windows = wanted.windows if wanted.timeline else None
    if windows is not None:
        windows.of(model)
    heard: dict[Path, Heard] = {}
    faults: dict[Path, str] = {}
    with _naming(faults, files):
        try:
            for each in track(hear_files(model, files, windows, together=wanted.together), "heard", len(files)):
                done = _finish(each, called[each.path], wanted) if isinstance(each, Heard) else each
                if isinstance(done, Fault):
                    faults[done.path] = done.reason
                elif done is not None:
                    heard[done.path] = done
        finally:  # also where a disk is full or the user has had enough
            _write([heard[file] for file in files if file in heard], wanted)


@contextmanager
def _naming(faults: Mapping[Path, str], files: Sequence[Path]) -> Iterator[None]:
    """Raise `DataError` that names the faults there are in the end; where another error ends it, they are said."""

    def told() -> str:
        return "\n".join(faults[file] for file in files if file in faults)

    try:
        yield
    except BaseException:
        if faults:
            say(told())
        raise
    if faults:
        raise DataError(told())


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


def _check(files: Sequence[Path], called: Mapping[Path, str], wanted: Wanted) -> None:
    """Raise `UsageError` and `WriteError` for what could not be written once it was heard; makes folders."""
    form = FORMATS[wanted.format]
    if wanted.out is None and len(files) > 1 and not form.several:
        raise UsageError(f"{form.name} holds one recording and there are {len(files)}; give --out a folder")
    file = None if wanted.out is None or wanted.out.folder else wanted.out.path
    if file is not None and file.suffix.lower() not in [ending.lower() for ending in form.suffixes]:
        raise UsageError(f"--out: {file}: {form.name} is written as {' or '.join(form.suffixes)}")
    if wanted.plot is not None and not wanted.plot.folder:
        check_name(wanted.plot.path)
    if form.name == "a2f":
        try:
            slots(tuple(emotion for emotion in EMOTIONS if emotion not in wanted.ban))
        except ValueError as error:
            raise UsageError(f"--ban: {error}") from None
    recordings = {os.path.realpath(file) for file in files}
    for target, what, ending, several in (
        (wanted.out, "--out", suffix(form.name, wanted.options.form), form.several),
        (wanted.plot, "--plot", ".svg", False),
    ):
        if target is None:
            continue
        if not target.folder and len(files) > 1 and not several:
            raise UsageError(f"{what}: {target.path} holds one recording and there are {len(files)}; name a folder")
        for path in (target.file(name, ending) for name in called.values()):
            if os.path.realpath(path) in recordings:
                raise UsageError(f"{what}: {path} is one of the recordings")
        target.prepare()


def _finish(heard: Heard, name: str, wanted: Wanted) -> Heard | Fault | None:
    """Write what has a file of its own; return what is to be written with the others, or why nothing can be."""
    audio = None
    if heard.timeline is not None:
        timeline = wanted.post.apply(heard.timeline.without(wanted.ban))
        heard = replace(heard, timeline=timeline)
        try:
            audio = read_audio(heard.path) if wanted.plot is not None or wanted.format == "arkit" else None
        except DataError as error:  # it has changed since it was heard
            return Fault(heard.path, str(error))
        if wanted.plot is not None:
            timeline.plot(wanted.plot.file(name, ".svg"), audio, segmenting=wanted.options.segmenting)
    form, out = FORMATS[wanted.format], wanted.out
    if form.several and (out is None or not out.folder):
        return heard
    text = _text([heard], wanted, replace(wanted.options, audio=audio))
    if out is None:
        sys.stdout.write(text)
    else:
        write_whole(text, out.file(name, suffix(form.name, wanted.options.form)))
    return None


def _write(heard: Sequence[Heard], wanted: Wanted) -> None:
    """Write what is heard of all recordings together."""
    if not heard:
        return
    text = _text(heard, wanted, wanted.options)
    if wanted.out is None:
        sys.stdout.write(text)
    else:
        write_whole(text, wanted.out.path)
        say(f"wrote {wanted.out.path}")


def _text(heard: Sequence[Heard], wanted: Wanted, options: Options) -> str:
    if wanted.timeline:
        return FORMATS[wanted.format]([t for each in heard if (t := each.timeline) is not None], options)
    return _rows([_row(each, wanted) for each in heard], wanted)


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
