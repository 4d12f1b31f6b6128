"""`valenza bench`: measurements on this machine."""

from typing import Annotated

import typer

from valenza.cli.options import Json, answer
from valenza.terminal import table

app = typer.Typer(no_args_is_help=True, help="Measurements on this machine.")


@app.command("plan")
def bench_plan(
    clips: Annotated[int, typer.Option(min=1, help="How many random durations.")] = 1_000_000,
    window_seconds: Annotated[float, typer.Option(min=0.1)] = 30.0,
    fill: Annotated[float, typer.Option(min=0.01, max=1.0)] = 0.8,
    seed: int = 7,
    as_json: Json = False,
) -> None:
    """Plan an epoch over random durations: seconds, memory, and how full its windows are."""
    from valenza.mixture.bench import measure_plan

    measured = measure_plan(clips, window_seconds=window_seconds, fill=fill, seed=seed)
    answer(as_json, measured, lambda: table("", ("", ""), list(measured.items())))


@app.command("invert")
def bench_invert(
    tracks: Annotated[int, typer.Option(min=1, help="How many random animations.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each is.")] = 6.0,
    smoothness: Annotated[
        float | None, typer.Option(min=0.0, help="As that of `valenza invert`.", show_default="its own")
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(min=1, help="As those of `valenza invert`.", show_default="its own")
    ] = None,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Invert animations whose emotion is known, with noise, blinks and other frame rates: how far off it is."""
    from valenza.avatar.invert import RESTARTS, SMOOTHNESS
    from valenza.avatar.recovery import measure_recovery, show_recovery

    found = measure_recovery(
        tracks=tracks,
        seconds=seconds,
        smoothness=SMOOTHNESS if smoothness is None else smoothness,
        restarts=RESTARTS if restarts is None else restarts,
        seed=seed,
    )
    answer(as_json, found, lambda: show_recovery(found))
