"""`valenza invert`: from a face animation to the emotion that explains it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from valenza.cli.options import Json, answer, split_commas
from valenza.errors import DataError, UsageError
from valenza.terminal import say, table

if TYPE_CHECKING:
    from valenza.avatar.invert import Inversion

_APART = 0.5
"""Seconds by which audio and animation may differ in length without a word."""


def invert(
    animation: Annotated[Path, typer.Argument(help="ARKit weights over time, .csv or .npz.", show_default=False)],
    audio: Annotated[Path, typer.Option(help="The recording that the face spoke.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The JSON file to write.", show_default=False)],
    animator: Annotated[str, typer.Option(help="rig, or a regression network of Audio2Face-3D (.onnx).")] = "rig",
    implicit: Annotated[
        Path | None, typer.Option(help="The 16 implicit values for the network, as .npy; zeros where absent.")
    ] = None,
    smoothness: Annotated[
        float | None,
        typer.Option(min=0.0, help="Weight of the squared change between frames; bench invert tells more."),
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(min=1, help="Starting points: uniform, then each emotion, then random ones.")
    ] = None,
    without: Annotated[
        str | None, typer.Option(help="Channels to leave aside, with commas: eyeBlinkLeft,eyeBlinkRight.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random starting points.")] = 0,
    as_json: Json = False,
) -> None:
    """Find the emotion over time that explains a face animation: an animator is frozen and its input is solved for."""
    import torch

    from valenza.avatar.animation import read_animation
    from valenza.avatar.animator import load_animator
    from valenza.avatar.invert import RESTARTS, SMOOTHNESS
    from valenza.avatar.invert import invert as solve
    from valenza.features.spectrogram import SAMPLE_RATE
    from valenza.timeline.sound import read_audio

    recorded = read_animation(animation)
    heard = torch.from_numpy(read_audio(audio)).double() / 32_768
    face = load_animator(animator, implicit=None if implicit is None else _read_values(implicit))
    seconds = len(heard) / SAMPLE_RATE
    if abs(recorded.seconds - seconds) > _APART:
        say(f"{animation} lasts {recorded.seconds:.2f} s and {audio} {seconds:.2f} s; what both have is used")
    settings: dict[str, Any] = {
        "smoothness": SMOOTHNESS if smoothness is None else smoothness,
        "restarts": RESTARTS if restarts is None else restarts,
        "seed": seed,
    }
    found = solve(face, heard, recorded, without=tuple(split_commas(without)), **settings)
    files = {"animation": str(animation), "audio": str(audio), "animator": animator}
    _write(found, {**files, **settings, "without": split_commas(without)}, out)
    say(f"wrote {out}")
    told = _summary(found, face.frame_rate)
    rows = [
        (emotion, f"{each['share']:.3f}", f"{each['strongest_seconds']:.2f}")
        for emotion, each in told["emotions"].items()
    ]
    title = f"{told['seconds']:.2f} s, {told['frames']} frames, residual {told['residual']:.4f} (root mean square)"
    answer(
        as_json,
        {"out": str(out), **told},
        lambda: table(title, ("emotion", "mean share", "seconds as the strongest"), rows),
    )


def _write(found: "Inversion", told: dict[str, Any], out: Path) -> None:
    import json

    from valenza.files import write_whole
    from valenza.labels.taxonomy import EMOTIONS

    value = {
        "format": 1,
        **told,
        "classes": EMOTIONS,
        "looked_for": found.shown,
        "times": [round(time, 6) for time in found.sequence.times.tolist()],
        "mixtures": [[round(share, 6) for share in mixture] for mixture in found.sequence.mixtures.tolist()],
        "residual": [round(value, 6) for value in found.residual.tolist()],
    }
    write_whole(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n", out)


def _summary(found: "Inversion", frame_rate: float) -> dict[str, Any]:
    from valenza.labels.taxonomy import POSITION

    mixtures = found.sequence.mixtures
    strongest = mixtures.argmax(axis=1)
    return {
        "frames": len(mixtures),
        "seconds": len(mixtures) / frame_rate,
        "residual": float((found.residual**2).mean() ** 0.5),
        "emotions": {
            emotion: {
                "share": float(mixtures[:, POSITION[emotion]].mean()),
                "strongest_seconds": float((strongest == POSITION[emotion]).sum() / frame_rate),
            }
            for emotion in found.shown
        },
    }


def _read_values(path: Path) -> Any:
    import numpy as np

    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise UsageError(f"{path}: holds no array of finite numbers")
    return values.astype(np.float32).ravel()
