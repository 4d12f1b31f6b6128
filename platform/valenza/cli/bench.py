"""`valenza bench`: measurements on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from valenza.cli.options import Json, answer
from valenza.errors import UsageError
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


@app.command("infer")
def bench_infer(
    model: Annotated[
        Path | None,
        typer.Argument(help="A run folder, an exported folder or an .onnx file.", exists=True, show_default=False),
    ] = None,
    engine: Annotated[
        Path | None, typer.Option(help="A TensorRT engine instead; needs its GPU.", show_default=False)
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(help="What the engine is compared with.", show_default="the file it was made of")
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option(help="Recordings, or folders of them; the run's zero-shot corpora first where absent."),
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="How many recordings are asked about.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of which medians are taken.")] = 5,
    as_json: Json = False,
) -> None:
    """What a prediction costs by the length of the recording, and whether padding it to 30 s would change its label."""
    if (model is None) == (engine is None):
        raise UsageError("give either a model or --engine")
    if engine is not None:
        from valenza.export.engines.bench import bench_engine, show_bench

        measured = bench_engine(engine, onnx=onnx)
        answer(
            as_json,
            {"engine": str(engine), "measured": [asdict(each) for each in measured]},
            lambda: show_bench(measured),
        )
        return
    assert model is not None  # noqa: S101 - as checked above
    from valenza.export.gate.speed import measure, show_speed

    told = measure(model, audio or (), clips=clips, rounds=rounds)
    answer(as_json, told, lambda: show_speed(told))


@app.command("stream")
def bench_stream(
    model: Annotated[str, typer.Argument(help="A run, an exported model, or a hub's name.", show_default=False)],
    audio: Annotated[
        list[Path], typer.Argument(help="Recordings, or folders of them, played one after another.", show_default=False)
    ],
    minutes: Annotated[float, typer.Option(min=2.0, help="How long they are played, at most.")] = 10.0,
    window: Annotated[float | None, typer.Option(help="As that of `valenza predict`.", show_default="its own")] = None,
    step: Annotated[float | None, typer.Option(help="As that of `valenza predict`.", show_default="its own")] = None,
    look_ahead: Annotated[
        float | None, typer.Option(help="As that of `valenza predict --stream`.", show_default="a window")
    ] = None,
    as_json: Json = False,
) -> None:
    """Stream recordings: memory, latency, cost, and whether what is told is what is told of files."""
    from valenza.timeline.stream import Streaming
    from valenza.timeline.stream_bench import measure_stream, show_stream
    from valenza.timeline.windows import Windows

    measured = measure_stream(model, audio, minutes, Streaming(Windows(window, step), look_ahead))
    answer(as_json, measured, lambda: show_stream(measured))


@app.command("windows")
def bench_windows(
    model: Annotated[str, typer.Argument(help="A frame-level run, or an exported model.", show_default=False)],
    corpora: Annotated[list[str], typer.Argument(help="Corpora with frame labels.", show_default=False)],
    shards: Annotated[Path, typer.Option(help="The folder of their shards.", show_default=False)],
    setting: Annotated[
        list[str] | None,
        typer.Option(help="WINDOW,STEP or WINDOW,STEP,LOOK_AHEAD in seconds; after the usual.", show_default=False),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="How much of each corpus is heard.")] = 3.0,
    into: Annotated[
        Path | None, typer.Option(help="A Markdown page whose table is replaced.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """How often timelines are right, frame by frame, by the windows that they are heard in."""
    from valenza.evaluation.results import replace_table
    from valenza.timeline.stream import Streaming
    from valenza.timeline.window_bench import measure_windows, window_table
    from valenza.timeline.windows import Windows

    def read(words: str) -> Streaming:
        try:
            numbers = [float(word) for word in words.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (2, 3):
            raise UsageError(f"--setting: {words!r} is not WINDOW,STEP or WINDOW,STEP,LOOK_AHEAD")
        return Streaming(Windows(*numbers[:2]), *numbers[2:])

    settings = [Streaming(), *map(read, setting or ())]
    measured = measure_windows(model, shards, corpora, settings, minutes)
    if into is not None:
        replace_table(into, window_table(measured), "windows")
    answer(as_json, measured, lambda: print(window_table(measured)))  # noqa: T201


@app.command("exports")
def bench_exports(
    reports: Annotated[
        list[Path],
        typer.Argument(help="<model>.parity.json, <engine>.json, and what `bench infer --json` printed."),
    ],
    into: Annotated[
        Path | None, typer.Option(help="A Markdown page whose tables are replaced.", show_default=False)
    ] = None,
) -> None:
    """Tables of how far exported files are from their network, and of what predictions and engines cost."""
    from valenza.evaluation.results import replace_table
    from valenza.export.gate.tables import tables

    made = tables(reports)
    if into is None:
        print("\n\n".join(made.values()))  # noqa: T201
        return
    for mark, text in made.items():
        replace_table(into, text, mark)
