"""`valenza export`: a trained model to where models run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from valenza.cli.options import Json, answer, split_commas
from valenza.errors import UsageError

TARGETS = ("hf", "onnx", "tensorrt", "triton")
EXPORTS = Path("exports")
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
        Path | None,
        typer.Option(
            help="The file or folder; under exports/ where absent, as is the ONNX file that engines are made of.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Which checkpoint, such as step-00001000; the newest where absent.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="What the network takes in: waveform, or mel (Whisper's spectrograms).", show_default="waveform"
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32, fp16 (its encoder in halves, for GPUs) or int8 (weights, for CPUs).", show_default="fp32"
        ),
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recordings, or folders of them, that both are asked about; the run's corpora where absent.",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[
        int | None, typer.Option(min=1, help="How many recordings both are asked about.", show_default="16")
    ] = None,
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
    _refuse(to, {"--source": source, "--precision": precision}, "onnx", "tensorrt", "triton")
    _refuse(to, {"--sm": sm}, "tensorrt")
    _refuse(to, {"--name": name}, "triton")
    _refuse(to, {"--push-to-hub": push, "--private": private or None}, "hf")
    if private and push is None:
        raise UsageError("--private is for --push-to-hub")
    if model.is_file():
        if to in ("hf", "onnx") or model.suffix != ".onnx":
            raise UsageError(
                f"{model}: --to {to} takes a run folder{'' if to in ('hf', 'onnx') else ' or an .onnx file'}"
            )
        of_runs = {"--checkpoint": checkpoint, "--source": source, "--precision": precision}
        for option, given in (of_runs | {"--audio": audio, "--clips": clips}).items():
            if given is not None:
                raise UsageError(f"{option} is for a run folder, which {model} is not")
    from valenza.export.onnx.write import Check

    check = Check(tuple(audio or ()), clips or Check.clips)
    if to == "hf":
        value, shown = _hf(model, out, checkpoint, check, push, private=private)
    else:
        plan = _plan(model, to, out, source or "waveform", precision or "fp32", sm, name)
        value, shown = _network(plan, checkpoint, check)

    def show() -> None:
        for each in shown:
            each()

    answer(as_json, value, show)


def _refuse(to: str, given: dict[str, object], *targets: str) -> None:
    for option, value in given.items():
        if value is not None and to not in targets:
            raise UsageError(f"{option} is for --to {' or '.join(targets)}")


def _hf(model: Path, out: Path | None, checkpoint: str | None, check: Any, push: str | None, *, private: bool) -> Made:
    from valenza.export.hub.push import push_to_hub
    from valenza.export.hub.write import export_hf, show_export

    made = export_hf(
        model,
        out or EXPORTS / f"{model.resolve().name}-hf",
        checkpoint=checkpoint,
        audio=check.audio,
        clips=check.clips,
    )
    value = {"folder": str(made.folder), "architecture": made.architecture, "reason": made.reason, **made.parity}
    if push is not None:
        value["address"] = push_to_hub(made.folder, push, private=private)
    return value, [lambda: show_export(made)]


@dataclass(frozen=True)
class _Plan:
    """What is made of what, and where; all that can be refused was, for tracing a network takes a minute."""

    model: Path
    to: str
    source: Any
    precision: Any
    file: Path
    """The ONNX file: that which is given, or that which is made first."""
    target: Path
    sms: list[int]
    name: str


def _plan(
    model: Path, to: str, out: Path | None, source: str, precision: str, sm: str | None, name: str | None
) -> _Plan:
    from valenza.export.onnx.graph import PRECISIONS, SOURCES

    if source not in SOURCES:
        raise UsageError(f"--source: {source!r} is not one of {', '.join(SOURCES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision: {precision!r} is not one of {', '.join(PRECISIONS)}")
    if to != "triton" and out is not None and out.is_dir():
        raise UsageError(f"--out: {out} is a folder; name a file")
    if to == "onnx" and out is not None and out.suffix != ".onnx":
        raise UsageError(f"--out: {out}: the name of an ONNX file ends in .onnx")
    run = model.stem if model.is_file() else model.resolve().name
    kind = "".join(f"-{word}" for word in (precision, source) if word not in ("fp32", "waveform"))
    file = model if model.is_file() else EXPORTS / f"{run}{kind}.onnx"
    if to == "onnx":
        file = out or file
    target = out or {"triton": EXPORTS / "triton", "tensorrt": file.with_suffix(".engine")}.get(to, file)
    sms = [_capability(each) for each in split_commas(sm)]
    if to == "tensorrt":
        from valenza.export.engines.tensorrt import find_library

        find_library(sms)
        if target.resolve() == file.resolve():
            raise UsageError(f"--out: {target} is the ONNX file of which the engine is made")
    elif to == "triton":
        from valenza.export.triton import check_names

        check_names(target, name or run, mel=source == "mel")
    return _Plan(model, to, source, precision, file, target, sms, name or run)


def _network(plan: _Plan, checkpoint: str | None, check: Any) -> Made:
    from valenza.export.onnx.write import export_onnx, show_parity

    told: dict[str, Any] = {}
    shown: list[Any] = []
    if not plan.model.is_file():
        report = export_onnx(
            plan.model, plan.file, source=plan.source, precision=plan.precision, checkpoint=checkpoint, check=check
        )
        told = {"onnx": str(plan.file), "parity": report}
        shown = [lambda: show_parity(report)]
    if plan.to == "tensorrt":
        from valenza.export.engines.sidecar import show_engine
        from valenza.export.engines.tensorrt import build_engine

        sidecar = build_engine(plan.file, plan.target, sms=plan.sms)
        told |= {"engine": str(plan.target), "sidecar": sidecar.model_dump(mode="json")}
        shown.append(lambda: show_engine(sidecar))
    elif plan.to == "triton":
        from valenza.export.triton import show_repository, write_triton

        written = write_triton(plan.file, plan.target, plan.name)
        told |= {"repository": str(written.folder), "models": list(written.models), "entry": written.entry}
        shown.append(lambda: show_repository(written))
    return told, shown


def _capability(word: str) -> int:
    digits = word.lower().removeprefix("sm").replace(".", "")
    if not digits.isdecimal():
        raise UsageError(f"--sm: {word!r} is no compute capability; give numbers such as 86,89")
    return int(digits)
