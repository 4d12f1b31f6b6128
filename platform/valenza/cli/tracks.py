"""`valenza tracks`: test tracks of several emotions, joined from single clips."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valenza import errors
from valenza.cli.options import SHARDS, Json, Shards, answer, split_commas
from valenza.errors import UsageError
from valenza.terminal import count, say, table

if TYPE_CHECKING:
    from valenza.stages.tracks import Made

app = typer.Typer(no_args_is_help=True, help="Tracks of several emotions with exact boundaries: make, verify.")

Corpora = Annotated[list[str], typer.Argument(help="Corpus ids.", show_default=False)]


@app.command("make")
def tracks_make(
    corpora: Corpora,
    out: Annotated[Path, typer.Option(help="Folder for the new shards, `<corpus>-tracks`.", show_default=False)],
    shards: Shards = SHARDS,
    speakers: Annotated[str | None, typer.Option(help="Only these, with commas.", show_default="all")] = None,
    exclude_speakers: Annotated[str | None, typer.Option(help="All but these.", show_default="none")] = None,
    per_speaker: Annotated[int, typer.Option(min=1, help="Tracks of each speaker.")] = 12,
    kinds: Annotated[
        str | None,
        typer.Option(help="Of neutral-emotion, emotion-neutral, neutral-emotion-neutral, emotion-emotion, several.",
                     show_default="all")
    ] = None,
    longest: Annotated[float, typer.Option(min=1, max=30, help="Seconds that a track lasts at most.")] = 30.0,
    shortest: Annotated[float, typer.Option(min=0.02, help="Seconds that an event lasts at least.")] = 0.3,
    seed: int = 7,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Join clips of one speaker, of equal loudness, to tracks whose emotion changes on a known frame."""
    from valenza.mixture.tracks import KINDS
    from valenza.stages.tracks import make_tracks

    wanted = split_commas(kinds)
    if unknown := [kind for kind in wanted if kind not in KINDS]:
        raise UsageError(f"--kinds {','.join(unknown)}: kinds are {', '.join(KINDS)}")
    made = [
        make_tracks(
            shards,
            corpus,
            rows,
            out,
            seed=seed,
            per_speaker=per_speaker,
            kinds=[kind for kind in KINDS if kind in wanted] or KINDS,
            longest=longest,
            shortest=shortest,
        )
        for corpus, rows in _chosen(shards, corpora, speakers, exclude_speakers).items()
    ]
    answer(as_json, {"corpora": [m.as_dict() for m in made]}, lambda: show_made(made))


def _chosen(shards: Path, corpora: list[str], only: str | None, exclude: str | None) -> dict[str, list[int]]:
    """Return corpus → rows of the speakers that a command line speaks of; raises `UsageError` for unknown ones."""
    from valenza.config import suggestion
    from valenza.shards.stored import read_index

    if only is not None and exclude is not None:
        raise UsageError("give --speakers or --exclude-speakers, not both")
    index = read_index(shards, corpora)
    spoken = list(zip(index["corpus"].to_pylist(), index["speaker"].to_pylist(), strict=True))
    known, named = {speaker for _, speaker in spoken}, split_commas(only if only is not None else exclude)
    for speaker in named:
        if speaker not in known:
            raise UsageError(f"no corpus has a speaker {speaker!r}{suggestion(speaker, sorted(known))}")
    kept = set(named) if only is not None else known - set(named)
    found: dict[str, list[int]] = {}
    for corpus in corpora:
        own = [speaker for name, speaker in spoken if name == corpus]
        found[corpus] = [row for row, speaker in enumerate(own) if speaker in kept]
        if not found[corpus]:
            raise UsageError(f"{corpus}: none of its speakers is chosen; they are {', '.join(sorted(set(own)))}")
    return found


def show_made(made: Sequence["Made"]) -> None:
    """Print a row for each corpus, and say which tracks its clips could not make."""
    kinds = list(made[0].kinds)
    rows = []
    for one in made:
        figures = one.as_dict()
        counts = [figures[name] for name in ("tracks", "speakers", "events")]
        rows.append([one.corpus, *counts, f"{figures['minutes']:.1f}", *one.kinds.values()])
    table("", ["corpus", "tracks", "speakers", "events", "minutes", *kinds], rows)
    for one in made:
        for missed in one.tracks.missing:
            has = ", ".join(missed.classes) or "nothing that is long enough"
            lacking = f"{count(missed.tracks, 'track')} of {missed.kind}"
            say(f"{one.corpus}: speaker {missed.speaker} lacks {lacking}: their clips are {has}")


@app.command("verify")
def tracks_verify(
    corpora: Corpora,
    tracks: Annotated[Path, typer.Option(help="Folder that holds the shards of the tracks.", show_default=False)],
    shards: Shards = SHARDS,
    as_json: Json = False,
) -> None:
    """Join the tracks again from their clips, and compare them bit for bit; CORPORA are such as `emodb-tracks`."""
    from valenza.stages.tracks import verify_tracks

    found = {corpus: verify_tracks(tracks, corpus, shards) for corpus in corpora}

    def show() -> None:
        for corpus, differences in found.items():
            told = "every track is what its clips give" if not differences else count(len(differences), "difference")
            say(f"{corpus}: {told}")
            for difference in differences:
                print(difference)  # noqa: T201

    answer(as_json, found, show)
    if any(found.values()):
        raise typer.Exit(errors.SHARD_IO)
