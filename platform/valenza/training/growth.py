"""How many windows a step holds: a function of the step alone, so that a resumed run takes the same ones."""

from math import ceil, log2

from valenza.recipe import Training


def windows_at(step: int, settings: Training) -> int:
    """Return the windows of a step (0-based), over all processes.

    [from, to] doubles at equal distances: with [64, 512] a quarter of the steps each has 64, 128, 256 and 512. What is
    not a power of two times `from` is reached last: [6, 20] has 6, 12 and 20. (Osman et al. 2023, §2.5: the batch grows
    by accumulation.)
    """
    if isinstance(settings.windows_per_step, int):
        return settings.windows_per_step
    first, last = settings.windows_per_step
    doublings = ceil(log2(last / first))
    return min(last, first << (step * (doublings + 1) // settings.steps))


def windows_in_all(settings: Training) -> int:
    """Return the windows of all steps together."""
    return sum(windows_at(step, settings) for step in range(settings.steps))
