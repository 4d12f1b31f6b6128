"""What lies in a shards folder, at a glance."""

from collections.abc import Sequence
from typing import TypedDict

import pyarrow.compute as pc

from valenza.errors import ShardError
from valenza.place import Place
from valenza.shards.audio import SAMPLE_RATE
from valenza.shards.stored import built, read_corpus, read_index
from valenza.shards.write import BuildReport
from valenza.terminal import say, table

_MOST_LISTED = 10


class CorpusInfo(TypedDict):
    """The figures of one corpus's shards."""

    corpus: str
    clips: int
    hours: float
    bytes: int
    shards: int
    speakers: int
    languages: list[str]
    splits: dict[str, int]
    """Split → clips; under "" those of no split."""
    cut: int
    """Clips of over 30 s that are stored in parts."""
    left_out: int
    frames: int
    """Clips with frame labels."""


def describe(shards: Place, corpora: Sequence[str] = ()) -> list[CorpusInfo]:
    """Return the figures of the named corpora, or of all that are built; raises `ShardError` where there are none."""
    names = list(corpora) or built(shards)
    if not names:
        raise ShardError(f"{shards}: holds no shards; build some with `valenza shards build`")
    read_index(shards, names)  # explains every missing corpus at once
    return [_info(shards / name) for name in names]


def _info(folder: Place) -> CorpusInfo:
    description, rows = read_corpus(folder)
    splits = {v["values"] or "": v["counts"] for v in pc.value_counts(rows["split"]).to_pylist()}
    return CorpusInfo(
        corpus=description.corpus,
        clips=description.clips,
        hours=description.samples / SAMPLE_RATE / 3600,
        bytes=description.size,
        shards=len(description.shards),
        speakers=pc.count_distinct(rows["speaker"]).as_py(),
        languages=sorted(pc.unique(rows["language"]).to_pylist()),
        splits=dict(sorted(splits.items())),
        cut=len(description.cut),
        left_out=len(description.left_out),
        frames=rows.num_rows - rows["frames"].null_count,
    )


def show_info(found: Sequence[CorpusInfo]) -> None:
    """Print a row for each corpus."""
    columns = ["corpus", "clips", "hours", "MB", "shards", "speakers", "languages", "splits", "left out",
               "frame labels"]  # fmt: skip
    rows = (
        [i["corpus"], f"{i['clips']:,}", f"{i['hours']:.2f}", f"{i['bytes'] / 1e6:,.1f}", i["shards"], i["speakers"],
         " ".join(i["languages"]), ", ".join(f"{k or 'none'} {v}" for k, v in i["splits"].items()), i["left_out"],
         i["frames"] or "–"]
        for i in found
    )  # fmt: skip
    table("", columns, rows)


def show_build(report: BuildReport) -> None:
    """Say what a build did, clips that were cut or left out by name."""
    found = report.description
    if report.built == 0:
        say(f"{found.corpus}: up to date, {found.clips:,} clips in {report.kept} shards ({report.seconds:.1f} s)")
    else:
        hours = found.samples / SAMPLE_RATE / 3600
        say(
            f"{found.corpus}: {found.clips:,} clips, {hours:.2f} h, {found.size / 1e6:,.1f} MB "
            f"in {len(found.shards)} shards, {report.kept} of them kept ({report.seconds:.1f} s)"
        )
    _list(
        f"{found.corpus}: over 30 s, stored in parts with the same labels", [f"{c.id} ({c.parts})" for c in found.cut]
    )
    _list(f"{found.corpus}: left out", [f"{b.source} {b.reason}" for b in found.left_out])


def _list(title: str, lines: Sequence[str]) -> None:
    if lines:
        more = [f"and {len(lines) - _MOST_LISTED} more"] if len(lines) > _MOST_LISTED else []
        say("\n  ".join([f"{title}: {len(lines)}", *lines[:_MOST_LISTED], *more]))
