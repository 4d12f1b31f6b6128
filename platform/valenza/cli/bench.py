"""`valenza bench`: measurements on this machine."""

from pathlib import Path
from typing import Annotated, Any

import typer

from valenza.cli.options import Json, answer
from valenza.terminal import table

app = typer.Typer(no_args_is_help=True, help="Measurements on this machine.")


@app.command("plan")
def bench_plan(
    clips: Annotated[int, typer.Option(min=1, help="How many random durations.")] = 1_000_000,
    hours: Annotated[
        float | None, typer.Option(min=1, help="Plan so many hours of shards by blocks, instead.", show_default=False)
    ] = None,
    ranks: Annotated[int, typer.Option(min=1, help="Training processes that the hours are dealt to.")] = 1,
    lanes: Annotated[
        int | None, typer.Option(min=1, help="As `data.lanes` of a recipe.", show_default="one a rank")
    ] = None,
    block_hours: Annotated[float, typer.Option(min=0.01, help="As `data.block_hours` of a recipe.")] = 60.0,
    window_seconds: Annotated[float, typer.Option(min=0.1)] = 30.0,
    fill: Annotated[float, typer.Option(min=0.01, max=1.0)] = 0.8,
    seed: int = 7,
    as_json: Json = False,
) -> None:
    """Plan an epoch over random durations: seconds, memory, how full its windows are, and who reads what.

    With --hours the durations are those of emotional speech (4.4 s on average), in shards, and no audio is needed.
    """
    measured: dict[str, Any]
    if hours is None:
        from valenza.mixture.bench import measure_plan

        measured = measure_plan(clips, window_seconds=window_seconds, fill=fill, seed=seed)
    else:
        from valenza.mixture.scale import measure_scale

        measured = measure_scale(
            hours,
            ranks=ranks,
            lanes=lanes,
            block_hours=block_hours,
            window_seconds=window_seconds,
            fill=fill,
            seed=seed,
        )
    answer(as_json, measured, lambda: table("", ("", ""), list(measured.items())))


@app.command("cost")
def bench_cost(
    plans: Annotated[list[Path], typer.Argument(help="What `bench plan --hours … --json` printed, one a size.")],
    into: Annotated[
        Path | None, typer.Option(help="A Markdown page whose tables are replaced.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """What an epoch of each size costs in GPU hours, storage, network and cores: computed, not measured."""
    from valenza.evaluation.results import replace_table
    from valenza.mixture.cost import cost_table, costs, plan_table, read_plans, size_table

    read = read_plans(plans)
    made = {"plan": plan_table(read), "cost": cost_table(read), "size": size_table(read)}
    if into is not None:
        for mark, text in made.items():
            replace_table(into, text, mark)
        return
    answer(as_json, costs(read), lambda: print("\n".join(made.values()), end=""))  # noqa: T201


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
