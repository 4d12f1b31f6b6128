"""From a path or a name on the hub to a model."""

from pathlib import Path

from valenza.errors import UsageError
from valenza.inference.model import Model, load_run
from valenza.stages.trained import RECIPE


def load(place: str | Path, checkpoint: str | None = None) -> Model:
    """Return the model of a run folder, an exported folder, an .onnx file, or a name on the Hugging Face hub.

    Raises `UsageError` for what is none of these.
    """
    path = Path(place).expanduser()
    if checkpoint is not None and not (path / RECIPE).is_file():
        raise UsageError(f"{place}: only run folders have checkpoints to choose from")
    if path.suffix.lower() == ".onnx":
        from valenza.inference.onnx import load_onnx

        return load_onnx(path)
    if (path / RECIPE).is_file():
        return load_run(path, checkpoint)
    if path.is_dir() and not (path / "config.json").is_file():
        raise UsageError(f"{place}: is neither a run folder (it has no {RECIPE}) nor an exported model")
    if not path.is_dir() and (path.is_absolute() or str(place).startswith((".", "~")) or path.exists()):
        raise UsageError(f"{place}: there is no such folder")
    from valenza.inference.pretrained import load_hf

    return load_hf(place)
