"""The emotion that explains a face animation, frame by frame (Fedorov & Korobchenko, eq. 8)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from valenza.avatar.animation import Animation
from valenza.avatar.animator import Animator
from valenza.avatar.quadratic import least
from valenza.errors import DataError, NonFiniteError, UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.sequences import Sequence
from valenza.labels.taxonomy import EMOTIONS, POSITION

SMOOTHNESS = 0.05
"""Weight of the squared change from frame to frame; `measure_recovery` tells what another one costs."""
RESTARTS = 8
_TRIAL_ROUNDS = 4
_ROUNDS = 20
_STILL = 1e-4
"""Shares that move less than this in a round have arrived."""


@dataclass(frozen=True)
class Inversion:
    """Emotion over time, and how well it explains what was recorded."""

    sequence: Sequence
    """A key in the middle of each frame of the animator, over the whole taxonomy."""
    residual: Float64[np.ndarray, " frames"]
    """Root of the mean squared difference over the channels, in the unit of the weights."""
    shown: tuple[str, ...]
    """Emotions that were looked for; the others have a share of 0."""


def invert(
    animator: Animator,
    audio: Float[Tensor, " samples"],
    recorded: Animation,
    *,
    smoothness: float = SMOOTHNESS,
    restarts: int = RESTARTS,
    without: tuple[str, ...] = (),
    seed: int = 0,
) -> Inversion:
    """Return argmin over mixtures of Σ_f mean_channels (A(audio, e)_f − recorded_f)² + smoothness · Σ_f |e_f+1 − e_f|².

    Frames are those of the animator as far as both the audio and the animation reach. Only what the animator moves is
    compared, less the channels in `without`, such as those of blinks; a channel that no emotion moves adds to the
    residual and changes nothing else. Emotions that look like another are not looked for (`Animator.shown`): where the
    face is at rest the answer is neutral, and `other` is never the answer of a rig that shows it as neutral.

    All frames are solved together, by Levenberg and Marquardt's method with the simplex as a hard constraint, so that
    an emotion can be exactly 0 or 1. It starts `restarts` times: from the uniform mixture, from each emotion alone and
    then from random mixtures; each frame goes on from the start that explained it best. Raises `DataError` where audio
    and animation share less than a frame or a channel was not recorded, `UsageError` for settings that make no sense,
    `NonFiniteError` for an animator whose output is not finite.
    (Fedorov & Korobchenko, "Human Feedback Driven Dynamic Speech Emotion Recognition", eq. 8.)
    """
    if smoothness < 0 or restarts < 1:
        raise UsageError("smoothness is at least 0, and there is at least one start")
    channels = tuple(channel for channel in animator.channels if channel not in without)
    if not channels or len(channels) != len(animator.channels) - len(set(without)):
        raise UsageError(f"of the animator's channels, {', '.join(without)} cannot be left out")
    count = int(min(len(audio) / SAMPLE_RATE, recorded.seconds) * animator.frame_rate + 1e-6)
    if not count:
        raise DataError("the audio and the animation share less than one frame")
    times = (np.arange(count) + 0.5) / animator.frame_rate
    problem = _Problem(animator, audio, torch.from_numpy(recorded.at(times, channels)), channels, smoothness)
    starts = list(_starts(count, len(animator.shown), restarts, seed))
    shares = starts[0]
    if restarts > 1:
        tried = [problem.descend(start, _TRIAL_ROUNDS, coupled=False) for start in starts]
        best = torch.stack([problem.errors(shares) for shares in tried]).argmin(dim=0)
        shares = torch.stack(tried)[best, torch.arange(count)]
    shares = problem.descend(shares, _ROUNDS, coupled=True)
    residual = problem.errors(shares).sqrt().numpy()
    return Inversion(Sequence(times, problem.mixtures(shares).numpy()), residual, animator.shown)


def _starts(frames: int, emotions: int, restarts: int, seed: int) -> Iterator[Float64[Tensor, "frames emotions"]]:
    yield torch.full((frames, emotions), 1 / emotions, dtype=torch.float64)
    for emotion in range(min(emotions, restarts - 1)):
        yield torch.eye(emotions, dtype=torch.float64)[emotion].expand(frames, -1).clone()
    rng = np.random.default_rng(seed)
    for _ in range(restarts - 1 - emotions):
        yield torch.from_numpy(rng.dirichlet(np.ones(emotions), frames))


@dataclass(frozen=True)
class _Problem:
    animator: Animator
    audio: Float[Tensor, " samples"]
    recorded: Float64[Tensor, "frames channels"]
    channels: tuple[str, ...]
    smoothness: float

    def mixtures(self, shares: Float64[Tensor, "frames emotions"]) -> Float64[Tensor, "frames classes"]:
        """Return shares of the shown emotions as mixtures of the taxonomy."""
        columns = [POSITION[emotion] for emotion in self.animator.shown]
        places = torch.zeros(len(columns), len(EMOTIONS), dtype=shares.dtype)
        places[torch.arange(len(columns)), columns] = 1.0
        return shares @ places

    def misses(self, shares: Float64[Tensor, "frames emotions"]) -> Float64[Tensor, "frames channels"]:
        """Return how far each channel is from what was recorded."""
        kept = [self.animator.channels.index(channel) for channel in self.channels]
        return self.animator(self.audio, self.mixtures(shares))[:, kept] - self.recorded

    @torch.no_grad()
    def errors(self, shares: Float64[Tensor, "frames emotions"]) -> Float64[Tensor, " frames"]:
        """Return each frame's mean squared error."""
        return self.misses(shares).square().mean(dim=1)

    def slopes(
        self, shares: Float64[Tensor, "frames emotions"]
    ) -> tuple[Float64[Tensor, "frames channels"], Float64[Tensor, "frames channels emotions"]]:
        """Return the misses and their derivatives: a backward pass for each channel, since frames are independent."""
        shares = shares.detach().requires_grad_()
        misses = self.misses(shares)
        if not bool(misses.isfinite().all()):
            raise NonFiniteError("the animator's output is not finite")
        rows = [torch.autograd.grad(column.sum(), shares, retain_graph=True)[0] for column in misses.unbind(dim=1)]
        return misses.detach(), torch.stack(rows, dim=1)

    def objective(
        self, errors: Float64[Tensor, " frames"], shares: Float64[Tensor, "frames emotions"], coupled: bool
    ) -> Float64[Tensor, " frames"]:
        """Return what must fall: each frame's own error, or for all of them the sum with the smoothness term."""
        if not coupled or not self.smoothness:
            return errors
        return (errors.sum() + self.smoothness * shares.diff(dim=0).square().sum()).expand(len(shares))

    def descend(
        self, shares: Float64[Tensor, "frames emotions"], rounds: int, *, coupled: bool
    ) -> Float64[Tensor, "frames emotions"]:
        """Return shares that are better, after at most so many rounds; without coupling each frame goes its own way.

        A round replaces the animator by its tangent and solves that exactly. Where the tangent promised more than
        came true, the next round is held closer to where it stands.
        """
        damping = torch.full((len(shares),), 1e-6, dtype=shares.dtype)
        misses, slopes = self.slopes(shares)
        errors = misses.square().mean(dim=1)
        for _ in range(rounds):
            curvature = 2 * slopes.mT @ slopes / len(self.channels)
            scale = curvature.diagonal(dim1=1, dim2=2).sum(dim=1) / len(self.animator.shown) + 1e-9
            held = curvature + (damping * scale)[:, None, None] * torch.eye(len(self.animator.shown)).to(curvature)
            pull = 2 * (slopes.mT @ misses[:, :, None])[:, :, 0] / len(self.channels)
            step = least(held, pull, shares, self.smoothness if coupled else 0.0) - shares
            promised = -((pull * step).sum(dim=1) + 0.5 * ((curvature @ step[:, :, None])[:, :, 0] * step).sum(dim=1))
            found = self.errors(shares + step)
            kept = errors - found >= promised - 0.75 * promised.abs() - 1e-12
            damping = torch.where(kept, damping / 10, damping.clamp(min=1e-4) * 10).clamp(1e-9, 1e6)
            better = self.objective(found, shares + step, coupled) < self.objective(errors, shares, coupled)
            moved = torch.where(better[:, None], step, 0.0)
            shares = shares + moved
            if float(step.abs().max()) < _STILL:
                break
            if bool(better.any()):
                misses, slopes = self.slopes(shares)
                errors = misses.square().mean(dim=1)
        return shares
