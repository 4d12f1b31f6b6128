"""The one thread that hears for all: fair turns, and a piece that breaks the model breaks it for no other."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from valenza.inference.model import Model, Said
from valenza.labels.taxonomy import EMOTIONS
from valenza.serving.ear import Due, Ear
from valenza.serving.metrics import Metrics

POISON = 12_345


class Engine:
    """Says of each recording its first sample, and breaks on one of them."""

    def __call__(self, audio: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        first = np.rint(audio[:, 0] * 32768)
        if (first == POISON).any():
            raise ArithmeticError("poison")
        shares = np.zeros((len(audio), len(EMOTIONS)), np.float32)
        shares[:, 0], shares[:, 1] = 1 - first / 32768, first / 32768
        count = int(-(-lengths.max() // 320))
        return {"mixture": shares, "frames": np.repeat(shares[:, None], count, axis=1)}


class Asker:
    """Wants some pieces heard, whose first samples are these numbers."""

    def __init__(self, log: list[str], name: str, numbers: list[int], samples: int = 1_600) -> None:
        self.log, self.name, self.samples = log, name, samples
        self.numbers, self.told, self.failed = list(numbers), [], 0  # type: ignore[var-annotated]

    def next_piece(self) -> Due | None:
        if not self.numbers:
            return None
        audio = np.full(self.samples, self.numbers.pop(0), np.int16)
        return Due(audio, time.monotonic())

    def take(self, said: Said) -> None:
        self.log.append(self.name)
        self.told.append(round(float(said.mixture[1]) * 32768))

    def fail(self, error: Exception) -> None:
        assert "poison" in str(error)
        self.failed += 1


@pytest.fixture
def model() -> Model:
    return Model("toy", Engine(), EMOTIONS, False, 160_000, {})


def heard(model: Model, askers: list[Any]) -> None:
    wanted = sum(len(asker.numbers) for asker in askers)

    async def run() -> None:
        ear = Ear(model, Metrics())
        for asker in askers:
            ear.join(asker)
        work = asyncio.create_task(ear.work())
        async with asyncio.timeout(30):
            while sum(len(asker.told) + asker.failed for asker in askers) < wanted:
                await asyncio.sleep(0.01)
        work.cancel()

    asyncio.run(run())


def test_who_wants_most_waits_longest(model: Model) -> None:
    log: list[str] = []
    greedy = Asker(log, "greedy", list(range(300)))
    modest = [Asker(log, f"m{k}", list(range(1000 + k, 1005 + k))) for k in range(80)]
    heard(model, [greedy, *modest])
    assert greedy.told == list(range(300))
    assert all(asker.told == list(range(1000 + k, 1005 + k)) for k, asker in enumerate(modest))
    last = max(place for place, name in enumerate(log) if name != "greedy")
    assert log[: last + 1].count("greedy") <= 6  # as many turns as each of the others had, and the one it began with


def test_a_piece_that_breaks_the_model_breaks_it_for_no_other(model: Model) -> None:
    log: list[str] = []
    bad = Asker(log, "bad", [1, POISON, 2])
    good = [Asker(log, f"g{k}", [10 + k] * 4, samples=1_600 + 900 * k) for k in range(5)]
    heard(model, [good[0], bad, *good[1:]])
    assert (bad.told, bad.failed) == ([1, 2], 1)
    assert all(asker.told == [10 + k] * 4 for k, asker in enumerate(good))
