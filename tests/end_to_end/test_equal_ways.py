"""Ways through training that differ in cost only, and encoders of the other family."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valenza.stages import frozen

CLIP_ALONE = (
    "encoder.attention=clip",
    "encoder.freeze=[all]",
    "encoder.layers=mixture",
    "objective.level=clip",
    "training.head_lr=0.01",
)


ON_THE_MEAN = {
    "linear": (),
    "bent": ("heads.projection=12", "heads.hidden=tanh"),
    "dropped": ("heads.dropout=0.3",),
    "reversed": ("heads.projection=12", "heads.hidden=gelu", "objective.domain={mode: reversal, weight: 0.3}"),
}
"""What acts on a clip's mean, however that mean came about."""


@pytest.mark.parametrize("words", ON_THE_MEAN.values(), ids=ON_THE_MEAN)
def test_hearing_once_gives_the_losses_of_hearing_every_time(
    train_here: Callable[..., list[float]],
    corner: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    once = train_here(tmp_path / "once", *CLIP_ALONE, *words)
    assert list((corner.folder / "cache" / "heard").glob("*.npy"))
    # What is on the disk is used again.
    assert train_here(tmp_path / "again", *CLIP_ALONE, *words) == once
    # Where the means would not fit into memory, training goes over frames.
    monkeypatch.setattr(frozen, "_LARGEST", 0)
    frames = train_here(tmp_path / "frames", *CLIP_ALONE, *words)
    assert once[0] == pytest.approx(frames[0], rel=2e-3)
    # the clips of a random encoder differ little, so that rounding weighs more with every step
    assert once == pytest.approx(frames, rel=1e-2)
    assert frames != once
    assert once[-1] < once[0]


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_waveform_encoders_train(train_here: Callable[..., list[float]], tmp_path: Path, family: str) -> None:
    encoder = f"encoder.new={{family: {family}, width: 16, layers: 1, attention_heads: 2}}"
    losses = train_here(tmp_path / "run", encoder, "training.steps=2", "training.windows_per_step=2")
    assert len(losses) == 2
    assert all(0 < loss < 10 for loss in losses)


def test_windows_per_pass_changes_memory_only(train_here: Callable[..., list[float]], tmp_path: Path) -> None:
    one = train_here(tmp_path / "one", "training.windows_per_pass=1")
    assert train_here(tmp_path / "four", "training.windows_per_pass=4") == pytest.approx(one, rel=1e-5)
