"""`valenza export`: a trained model to where models run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from valenza.cli.options import Json, answer, split_commas
from valenza.errors import UsageError

TARGETS = ("hf", "onnx", "tensorrt", "triton")
Made = tuple[dict[str, Any], list[Any]]
"""What is told to programs, and what prints it to people."""


def export(
    model: Annotated[
        Path,
        typer.Argument(
            help="A run folder; an .onnx file too, for tensorrt and triton.", exists=True, show_default=False
        ),
    ],
    to: Annotated[str, typer.Option("--to", help="hf, onnx, tensorrt or triton.")],
    out: Annotated[
        Path | None, typer.Option(help="The file or folder; under exports/ where absent.", show_default=False)
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Which checkpoint, such as step-00001000; the newest where absent.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="What the network takes in: waveform, or mel (Whisper's spectrograms).")
    ] = "waveform",
    precision: Annotated[
        str, typer.Option(help="fp32, fp16 (its encoder in halves, for GPUs) or int8 (weights, for CPUs).")
    ] = "fp32",
    audio: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recordings, or folders of them, that both are asked about; the run's corpora where absent.",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="How many recordings both are asked about.")] = 16,
    sm: Annotated[
        str | None,
        typer.Option(
            help="TensorRT: compute capabilities, such as 86,89.",
            show_default="86,89, or this GPU with NVIDIA's tensorrt",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Triton: what clients call the model.", show_default="as the run")
    ] = None,
    push: Annotated[
        str | None,
        typer.Option("--push-to-hub", help="hf: upload to this repository of the hub too.", show_default=False),
    ] = None,
    private: Annotated[bool, typer.Option(help="hf: a repository that only you see.")] = False,
    as_json: Json = False,
) -> None:
    """Write a trained model for Transformers, ONNX, TensorRT or Triton, if it says what the network says.

    Beside each lies a report of how it was compared with the network, on real recordings.
    """
    if to not in TARGETS:
        raise UsageError(f"--to: {to!r} is not one of {', '.join(TARGETS)}")
    for option, given, belongs in (("--sm", sm, "tensorrt"), ("--name", name, "triton"), ("--push-to-hub", push, "hf")):
        if given is not None and to != belongs:
            raise UsageError(f"{option} is for --to {belongs}")
    from valenza.export.onnx.write import Check

    check = Check(tuple(audio or ()), clips)
    if to == "hf":
        value, shown = _hf(model, out, checkpoint, check, push, private=private)
    else:
        value, shown = _network(model, to, out, checkpoint, source, precision, check, sm, name)

    def show() -> None:
        for each in shown:
            each()

    answer(as_json, value, show)


def _hf(model: Path, out: Path | None, checkpoint: str | None, check: Any, push: str | None, *, private: bool) -> Made:
    from valenza.export.hub.push import push_to_hub
    from valenza.export.hub.write import export_hf, show_export

    if model.is_file():
        raise UsageError(f"{model}: --to hf takes a run folder")
    made = export_hf(
        model,
        out or Path("exports") / f"{model.name}-hf",
        checkpoint=checkpoint,
        audio=check.audio,
        clips=check.clips,
    )
    value = {"folder": str(made.folder), "architecture": made.architecture, "reason": made.reason, **made.parity}
    if push is not None:
        value["address"] = push_to_hub(made.folder, push, private=private)
    return value, [lambda: show_export(made)]


def _network(
    model: Path,
    to: str,
    out: Path | None,
    checkpoint: str | None,
    source: str,
    precision: str,
    check: Any,
    sm: str | None,
    name: str | None,
) -> Made:
    from valenza.export.onnx.graph import PRECISIONS, SOURCES
    from valenza.export.onnx.write import export_onnx, show_parity

    if source not in SOURCES:
        raise UsageError(f"--source: {source!r} is not one of {', '.join(SOURCES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision: {precision!r} is not one of {', '.join(PRECISIONS)}")
    sms = [_capability(each) for each in split_commas(sm)]
    if to == "tensorrt":
        from valenza.export.engines.tensorrt import find_library

        find_library(sms)  # before the network is traced, which takes a minute
    told: dict[str, Any] = {}
    shown: list[Any] = []
    kind = "".join(f"-{word}" for word in (precision, source) if word not in ("fp32", "waveform"))
    file = model
    if model.is_file():
        if to == "onnx" or model.suffix != ".onnx":
            raise UsageError(f"{model}: --to {to} takes a run folder{'' if to == 'onnx' else ' or an .onnx file'}")
    else:
        file = out if out is not None and to == "onnx" else Path("exports") / f"{model.name}{kind}.onnx"
        if out is not None and to != "onnx":
            file = out.with_suffix(".onnx") if to == "tensorrt" else out.parent / f"{model.name}{kind}.onnx"
        report = export_onnx(
            model,
            file,
            source=source,
            precision=precision,
            checkpoint=checkpoint,
            check=check,
        )
        told = {"onnx": str(file), "parity": report}
        shown = [lambda: show_parity(report)]
    if to == "tensorrt":
        from valenza.export.engines.sidecar import show_engine
        from valenza.export.engines.tensorrt import build_engine

        sidecar = build_engine(file, out or file.with_suffix(".engine"), sms=sms)
        told |= {"engine": str(out or file.with_suffix(".engine")), "sidecar": sidecar.model_dump(mode="json")}
        shown.append(lambda: show_engine(sidecar))
    elif to == "triton":
        from valenza.export.triton import show_repository, write_triton

        written = write_triton(file, out or Path("exports") / "triton", name or model.stem)
        told |= {"repository": str(written.folder), "models": list(written.models), "entry": written.entry}
        shown.append(lambda: show_repository(written))
    return told, shown


def _capability(word: str) -> int:
    digits = word.lower().removeprefix("sm").replace(".", "")
    if not digits.isdecimal():
        raise UsageError(f"--sm: {word!r} is no compute capability; give numbers such as 86,89")
    return int(digits)
