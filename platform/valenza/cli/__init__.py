"""The `valenza` command: parses, explains mistakes, and calls one function."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from valenza import errors
from valenza.cli import bench, corpus, launch, pairs, runs, shards, studies, tracks
from valenza.cli.annotate import annotate
from valenza.cli.export import export
from valenza.cli.invert import invert
from valenza.cli.options import Json, answer
from valenza.cli.predict import predict
from valenza.cli.serve import serve
from valenza.errors import UsageError, ValenzaError
from valenza.terminal import say, table
from valenza.version import __version__

app = typer.Typer(
    name="valenza",
    help="Speech emotion recognition on many corpora in many languages.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(corpus.app, name="corpus")
app.add_typer(shards.app, name="shards")
app.add_typer(tracks.app, name="tracks")
app.add_typer(pairs.app, name="pairs")
app.add_typer(bench.app, name="bench")
app.add_typer(launch.app, name="launch")
app.add_typer(runs.app)
app.add_typer(studies.app)


def main() -> NoReturn:
    """Run the command line and exit with a documented code."""
    try:
        # Without the standalone mode, an `Exit` comes back as the command's value.
        ended = app(standalone_mode=False)
        sys.stdout.flush()
        code = ended if isinstance(ended, int) else errors.DONE
    except ValenzaError as error:
        say(f"error: {error}")
        code = error.code
    except (typer.Abort, KeyboardInterrupt):
        say("stopped")
        code = 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = errors.DONE
    except typer.TyperException as error:
        say(f"error: {error.format_message()}")
        code = errors.USAGE
    except OSError as error:
        say(f"error: {error.filename or 'the disk'}: {error.strerror or error}")
        code = errors.CANNOT_WRITE
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        # A thread of a library, still at work or waiting for a peer that is gone, must not change the exit code.
        os._exit(code)
    sys.exit()


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Say which version this is."""
    if show:
        print(f"valenza {__version__}")  # noqa: T201
        raise typer.Exit


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine can do, and what is missing."""
    from valenza.doctor import examine

    findings = examine()
    rows = [(f.topic, f.state, f.detail) for f in findings]
    answer(
        as_json,
        {"findings": [dict(zip(("topic", "state", "detail"), r, strict=True)) for r in rows]},
        lambda: table("", ("", "", ""), rows),
    )
    if any(f.state == "missing" for f in findings):
        raise UsageError("something that valenza needs is missing")


app.command()(invert)
app.command()(annotate)
app.command()(export)
app.command()(predict)
app.command()(serve)
