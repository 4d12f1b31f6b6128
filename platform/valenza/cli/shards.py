"""`valenza shards`: how corpora are stored."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from valenza import errors
from valenza.cli.options import (
    CORES,
    MANIFESTS,
    SHARDS,
    DataRoot,
    Jobs,
    Json,
    Manifests,
    ReadShards,
    Shards,
    answer,
    corpus_root,
)
from valenza.errors import DataError, ShardError, UsageError
from valenza.terminal import count, say

app = typer.Typer(no_args_is_help=True, help="Shards: build, verify, describe.")


@app.command("build")
def shards_build(
    corpora: Annotated[
        list[str] | None, typer.Argument(help="Corpus ids or manifest files.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every corpus that has a manifest.")] = False,
    data_root: DataRoot = None,
    root: Annotated[Path | None, typer.Option(help="The corpus folder itself; for one corpus.")] = None,
    manifests: Manifests = MANIFESTS,
    shards: Shards = SHARDS,
    jobs: Jobs = CORES,
    skip_bad: Annotated[bool, typer.Option(help="Leave out unreadable clips, and list them in shards.json.")] = False,
    as_json: Json = False,
) -> None:
    """Store corpora as WebDataset shards beside a checked index."""
    from valenza.corpora.card import find_cards, locate, read_card
    from valenza.corpora.parse import clips
    from valenza.shards.info import show_build
    from valenza.shards.write import build

    names = list(find_cards(manifests)) if every else corpora or []
    if not names:
        raise UsageError("which corpora? give their ids, or --all")
    if root is not None and len(names) > 1:
        raise UsageError("--root is the folder of one corpus; several are found under --data-root")
    built = []
    for corpus in names:
        path = locate(corpus, manifests)
        card = read_card(path)
        parsed = clips(card, corpus_root(card.id, data_root, root))
        if parsed.problems and not skip_bad:
            raise DataError(
                f"{card.id}: {count(len(parsed.problems), 'problem')}; `valenza corpus check {corpus}` lists them, "
                "--skip-bad leaves them out\n" + "\n".join(map(str, parsed.problems[:10]))
            )
        report = build(card, path, parsed.clips, shards, jobs, skip_bad=skip_bad)
        show_build(report)
        built.append({"corpus": card.id, "clips": report.description.clips, "built": report.built, "kept": report.kept})
    answer(as_json, {"corpora": built}, lambda: None)


@app.command("verify")
def shards_verify(
    corpora: Annotated[list[str] | None, typer.Argument(help="Corpus ids; all where absent.")] = None,
    shards: ReadShards = str(SHARDS),
    jobs: Jobs = CORES,
    as_json: Json = False,
) -> None:
    """Read every byte of the shards in a local folder and compare it with what was written."""
    from valenza.place import place
    from valenza.shards.index import local
    from valenza.shards.stored import built
    from valenza.shards.verify import verify

    folder = local(place(shards))
    names = corpora or built(folder)
    if not names:
        raise ShardError(f"{shards}: holds no shards; build some with `valenza shards build`")
    found = {name: [str(f) for f in verify(folder / name, jobs)] for name in names}

    def show() -> None:
        for name, findings in found.items():
            say(f"{name}: " + ("every byte is as written" if not findings else count(len(findings), "finding")))
            for finding in findings:
                print(finding)  # noqa: T201

    answer(as_json, found, show)
    if any(found.values()):
        raise typer.Exit(errors.SHARD_IO)


@app.command("info")
def shards_info(
    corpora: Annotated[list[str] | None, typer.Argument(help="Corpus ids; all where absent.")] = None,
    shards: ReadShards = str(SHARDS),
    as_json: Json = False,
) -> None:
    """What is stored: clips, hours, bytes, speakers, languages, splits; of a web server, the named corpora."""
    from valenza.place import place
    from valenza.shards.info import describe, show_info

    info = describe(place(shards), corpora or ())
    answer(as_json, {"corpora": info}, lambda: show_info(info))


@app.command("export")
def shards_export(
    corpora: Annotated[list[str], typer.Argument(help="Corpus ids.", show_default=False)],
    to: Annotated[
        Literal["nemo", "emobox", "audformat", "audiofolder", "datasets", "cameo", "croissant"],
        typer.Option(help="What is to read it.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write, which must not exist yet.", show_default=False)],
    shards: Shards = SHARDS,
    as_json: Json = False,
) -> None:
    """Write shards as what another project reads."""
    from valenza.shards.export.hand_over import export

    counts = export(shards, corpora, to, out)
    told = ", ".join(f"{corpus} {clips:,} clips" for corpus, clips in counts.items())
    answer(as_json, {"format": to, "folder": str(out), "clips": counts}, lambda: say(f"wrote {out}: {told}"))
