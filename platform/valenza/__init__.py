"""Speech emotion recognition on many corpora in many languages."""

from typing import TYPE_CHECKING, Any

from valenza.version import __version__

if TYPE_CHECKING:
    from valenza.timeline.predictor import Predictor, load, stream
    from valenza.timeline.timeline import Timeline

__all__ = ["Predictor", "Timeline", "__version__", "load", "stream"]


def __getattr__(name: str) -> Any:
    """Return what users call; it is imported when it is asked for, so that `import valenza` costs nothing."""
    if name == "Timeline":
        from valenza.timeline.timeline import Timeline

        return Timeline
    if name in {"Predictor", "load", "stream"}:
        from valenza.timeline import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module 'valenza' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
