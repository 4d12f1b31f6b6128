"""`valenza predict`: the emotions of recordings, and of what is being spoken."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from valenza.cli.options import split_commas
from valenza.errors import UsageError

if TYPE_CHECKING:
    from valenza.timeline.answers import Wanted
    from valenza.timeline.post import Post


def predict(
    model: Annotated[str, typer.Argument(help="A run, an exported model, or a hub's name.", show_default=False)],
    audio: Annotated[
        list[str] | None,
        typer.Argument(help="Audio files of any length and container, and folders of them.", show_default=False),
    ] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Emotions over time, and not of the whole.")] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv or json; of timelines also textgrid, audacity, rttm, a2f, arkit.",
            show_default="that of --out's ending, or csv",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="A file; a name without ending is a folder of files.", show_default=False),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(help="Draw timelines: an .svg or .png, or a folder of them.", show_default=False),
    ] = None,
    ban: Annotated[
        str | None, typer.Option(help="Emotions that are never told, with commas: surprise,other.", show_default=False)
    ] = None,
    contrast: Annotated[float, typer.Option(help="Above 1 the strongest emotion gains.")] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Only so many emotions have a share.", show_default="all")
    ] = None,
    smooth: Annotated[float | None, typer.Option(help="Seconds of a moving average.", show_default="none")] = None,
    hysteresis: Annotated[
        float | None, typer.Option(help="Lead that another emotion needs to take over.", show_default="0.1")
    ] = None,
    min_duration: Annotated[
        float | None, typer.Option(help="Seconds of a segment, at least.", show_default="0.5")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Moments a second.", show_default="the model's own")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="Seconds heard at once.", show_default="2, or 1.4 of models of whole clips")
    ] = None,
    step: Annotated[
        float | None, typer.Option(help="Seconds between windows.", show_default="0.5, or 0.2 of models of whole clips")
    ] = None,
    spelling: Annotated[str, typer.Option(help="Of arkit: apple or nvidia.")] = "apple",
    audio2emotion: Annotated[
        bool,
        typer.Option("--audio2emotion", help="Of a2f: NVIDIA's post-processing."),
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Recordings or windows heard together, at most.")] = 16,
    stream: Annotated[
        bool, typer.Option("--stream", help="Hear raw 16-bit PCM on standard input; one JSON line a moment.")
    ] = False,
    sample_rate: Annotated[int, typer.Option(help="Of the PCM.")] = 16_000,
    channels: Annotated[int, typer.Option(min=1, help="Of the PCM, interleaved.")] = 1,
    microphone: Annotated[bool, typer.Option("--microphone", help="Stream from the microphone.")] = False,
    look_ahead: Annotated[
        float | None,
        typer.Option(help="Seconds that a stream waits before it tells a moment.", show_default="the window"),
    ] = None,
) -> None:
    """The emotions of recordings: a row for each file, a timeline of each, or of a stream as it is heard."""
    settings = locals()
    if stream or microphone:
        _predict_stream(settings)
        return
    _refuse(settings, {"sample_rate": 16_000, "channels": 1, "look_ahead": None}, "only streams have it: add --stream")
    _predict_files(settings)


def _predict_files(told: dict[str, Any]) -> None:
    if not told["audio"]:
        raise UsageError("which audio? give files or folders, or --stream")
    from valenza.timeline.answers import predict_files
    from valenza.timeline.files import find_audio
    from valenza.timeline.formats import FORMATS

    wanted = _wanted(told)
    if not wanted.timeline:
        usual = {"smooth": None, "hysteresis": None, "min_duration": None, "rate": None, "window": None, "step": None}
        _refuse(told, usual, "only timelines have it: add --timeline")
    form = FORMATS[wanted.format]
    if not form.segments and wanted.plot is None:
        _refuse(told, {"hysteresis": None, "min_duration": None}, f"{form.name} holds no segments")
    if not form.curves:
        _refuse(told, {"rate": None}, f"{form.name} holds segments and no curves")
    if form.name != "arkit":
        _refuse(told, {"spelling": "apple"}, "only --format arkit has it")
    if form.name != "a2f":
        _refuse(told, {"audio2emotion": False}, "only --format a2f has it")
    predict_files(told["model"], find_audio([Path(name) for name in told["audio"]]), wanted)


def _wanted(told: dict[str, Any]) -> "Wanted":
    from valenza.timeline.answers import Wanted
    from valenza.timeline.formats import FORMATS, Options, of_ending
    from valenza.timeline.post import Audio2Emotion
    from valenza.timeline.segments import USUAL, Segmenting
    from valenza.timeline.targets import Target
    from valenza.timeline.windows import Windows

    out = None if told["out"] is None else Target.of(told["out"])
    plot = None if told["plot"] is None else Target.of(told["plot"])
    file = None if out is None or out.folder else out.path
    form = told["form"] or ("csv" if file is None else of_ending(file))
    _one_of("--format", form, tuple(FORMATS))
    _one_of("--spelling", told["spelling"], ("apple", "nvidia"))
    try:
        segmenting = Segmenting(
            USUAL.hysteresis if told["hysteresis"] is None else told["hysteresis"],
            USUAL.minimum_seconds if told["min_duration"] is None else told["min_duration"],
        )
    except ValueError as error:
        raise UsageError(f"--hysteresis, --min-duration: {error}") from None
    return Wanted(
        timeline=told["timeline"] or form not in ("csv", "json") or plot is not None,
        format=form,
        out=out,
        plot=plot,
        ban=_ban(told["ban"]),
        post=_post(told),
        windows=Windows(told["window"], told["step"]),
        options=Options(
            segmenting=segmenting,
            rate=told["rate"],
            form="json" if file is not None and file.suffix.lower() == ".json" else None,
            spelling=told["spelling"],
            audio2emotion=Audio2Emotion() if told["audio2emotion"] else None,
        ),
        together=told["batch"],
    )


def _predict_stream(told: dict[str, Any]) -> None:
    if (told["audio"] or ["-"]) != ["-"]:
        raise UsageError("a stream is read from standard input: `ffmpeg … -f s16le - | valenza predict --stream MODEL`")
    files_only = {
        "timeline": False,
        "form": None,
        "out": None,
        "plot": None,
        "hysteresis": None,
        "min_duration": None,
        "spelling": "apple",
        "audio2emotion": False,
        "batch": 16,
    }
    _refuse(told, files_only, "streams are told moment by moment, as JSON lines")
    from valenza.inference.load import load
    from valenza.timeline.live import Teller, microphone, standard_input, tell
    from valenza.timeline.stream import Stream, Streaming
    from valenza.timeline.windows import Windows

    post, ban = _post(told), _ban(told["ban"])
    if told["microphone"]:
        _refuse(told, {"sample_rate": 16_000, "channels": 1}, "the microphone is heard at 16 kHz, mono")
        sound = microphone()
    else:
        sound = standard_input(told["sample_rate"], told["channels"])
    model = load(told["model"])
    stream = Stream(model, Streaming(Windows(told["window"], told["step"]), told["look_ahead"]))
    tell(sound, stream, Teller(model.seen, ban, post, told["rate"]))


def _refuse(told: dict[str, Any], usual: dict[str, Any], why: str) -> None:
    for name, value in usual.items():
        if told[name] != value:
            raise UsageError(f"--{ {'form': 'format'}.get(name, name).replace('_', '-') }: {why}")


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    from valenza.config import suggestion

    if value not in known:
        raise UsageError(f"{option}: {value!r} is not one of {', '.join(known)}{suggestion(value, known)}")


def _ban(names: str | None) -> tuple[str, ...]:
    from valenza.labels.taxonomy import EMOTIONS

    banned = tuple(dict.fromkeys(split_commas(names)))
    for name in banned:
        _one_of("--ban", name, EMOTIONS)
    if len(banned) == len(EMOTIONS):
        raise UsageError("--ban: no emotion is left")
    return banned


def _post(told: dict[str, Any]) -> "Post":
    from valenza.timeline.post import Post

    try:
        return Post(told["contrast"], told["top_k"], told["smooth"] or 0.0)
    except ValueError as error:
        raise UsageError(f"--contrast, --top-k, --smooth: {error}") from None
