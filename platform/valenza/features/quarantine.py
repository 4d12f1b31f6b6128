"""The clips of a run that could not be heard: listed once each, and only so many of them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from valenza.errors import DataError, WriteError
from valenza.files import write_whole

FILE = "quarantine.jsonl"
"""In the run folder."""
QUARANTINED = "quarantined"
"""Under which name scores hold what this process met while validating, row → reason, for the loop to take out."""
_MOST_NAMED = 5


@dataclass(frozen=True)
class Bad:
    """A clip that could not be heard: a line of the file."""

    id: str
    corpus: str
    shard: str
    reason: str
    step: int
    """In which it was first met, counted from 1."""
    epoch: int


class Quarantine:
    """What a run has met of bad clips.

    Every process of a run holds one, and is told the same: all stop at the same step.
    """

    def __init__(self, run: Path, index: pa.Table, *, clips: int, share: float, writes: bool) -> None:
        """Allow the share of `clips` to be bad; only the process that `writes` touches the file."""
        self.file, self.writes = run / FILE, writes
        self.clips, self.share = clips, share
        self._index = index
        self._bad: dict[str, Bad] = {}

    @property
    def bad(self) -> tuple[Bad, ...]:
        """The clips, in the order in which they were met."""
        return tuple(self._bad.values())

    @property
    def allowed(self) -> int:
        """How many clips may be bad."""
        return int(self.share * self.clips + 1e-9)

    def take(self, met: Iterable[tuple[int, str]], *, step: int, epoch: int) -> list[Bad]:
        """Note rows of the index with what is wrong with them; returns those that are new.

        `met` is what all processes met, the same on each. Raises `DataError` where more are bad than may be, and
        `WriteError`.
        """
        new = []
        for row, reason in sorted(dict(met).items()):
            clip, corpus, shard = (str(self._index[name][row].as_py()) for name in ("id", "corpus", "shard"))
            if clip not in self._bad:
                new.append(Bad(clip, corpus, shard, reason, step, epoch))
                self._bad[clip] = new[-1]
        if new and self.writes:
            try:
                with self.file.open("a", encoding="utf-8") as file:
                    file.write("".join(_line(bad) for bad in new))
            except OSError as error:
                raise WriteError(f"{self.file}: cannot be written: {error.strerror}") from None
        self.judge()
        return new

    def read(self, step: int) -> list[Bad]:
        """Return what the file has up to a step, and drop the rest, which a resumed run meets again.

        Nothing where this process does not write: the others are told by it. Raises `WriteError`.
        """
        if not self.writes or not self.file.exists():
            return []
        kept = []
        for text in self.file.read_text(encoding="utf-8").splitlines():
            try:
                bad = Bad(**json.loads(text))
            except (ValueError, TypeError):  # a line that a crash cut short
                continue
            if bad.step <= step:
                kept.append(bad)
        write_whole("".join(map(_line, kept)), self.file)
        return kept

    def go_on(self, known: Iterable[Bad]) -> None:
        """Begin with what the process that writes has `read`."""
        self._bad = {bad.id: bad for bad in known}

    def judge(self) -> None:
        """Raise `DataError` where more clips are bad than may be."""
        if len(self._bad) <= self.allowed:
            return
        first = "; ".join(f"{bad.id} in {bad.shard}: {bad.reason}" for bad in self.bad[:_MOST_NAMED])
        more = f"; and {len(self._bad) - _MOST_NAMED} more" if len(self._bad) > _MOST_NAMED else ""
        corpora = " ".join(sorted({bad.corpus for bad in self.bad}))
        raise DataError(
            f"{len(self._bad)} clips cannot be heard, and data.bad_clips {self.share:g} of {self.clips} training clips "
            f"allows {self.allowed}: {first}{more}. {self.file} lists them; `valenza shards verify {corpora}` says "
            "what is wrong with the shards"
        )


def _line(bad: Bad) -> str:
    return json.dumps(asdict(bad), ensure_ascii=False) + "\n"
