"""What one epoch costs, in GPU hours, bytes and cores: computed from formulas, never measured on a cluster."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from valenza.errors import UsageError
from valenza.mixture.generated import FLAC_BYTES_PER_SECOND

PEAK_TFLOPS = 989.0
"""Dense bf16 peak of an H100 or H200."""
UTILISATION = 0.5
"""Share of the peak that training is assumed to reach."""
WAV_BYTES_PER_SECOND = 32_000.0
WINDOW_MS = {"best": 10.8, "baseline": 32.2}
"""CPU milliseconds that a 30 s window costs from FLAC to its spectrogram, on one core: as measured (a mapped file and
compiled decoding, augmentation and spectrogram), and with the common libraries."""
BESIDE_INDEX = 2 * 8 * 8 + 8 + 88
"""Bytes that training keeps of a clip beside its row: eight scores and eight targets, which are known, and its id."""
_POSITIONS = 1500


@dataclass(frozen=True)
class Encoder:
    """The shape of a Whisper encoder."""

    width: int
    layers: int
    mels: int = 80

    @property
    def forward_flops(self) -> float:
        """Operations of one 30 s window: two convolutions and the transformer."""
        mel = 2.0 * 2 * _POSITIONS * self.mels * 3 * self.width
        return mel + 2.0 * _POSITIONS * 3 * self.width**2 + self._transformer

    @property
    def training_flops(self) -> float:
        """Operations of forward and backward, with the convolutions frozen."""
        return self.forward_flops + 2 * self._transformer

    @property
    def _transformer(self) -> float:
        dense, attention = 24.0 * _POSITIONS * self.width**2, 4.0 * _POSITIONS**2 * self.width
        return self.layers * (dense + attention)


ENCODERS = {"base": Encoder(512, 6), "medium": Encoder(1024, 24), "large-v3": Encoder(1280, 32, mels=128)}
"""Whisper's."""


@dataclass(frozen=True)
class Cost:
    """One epoch of one encoder."""

    hours: float
    encoder: str
    gpus: int
    windows: int
    gpu_hours: float
    wall_hours: float
    windows_per_gpu_second: float
    flac_mb_per_gpu_second: float
    flac_gb_per_second: float
    """Read by all GPUs together."""
    cores_per_gpu: float
    cores_per_gpu_baseline: float
    cpu_core_hours: float


def epoch_costs(hours: float, gpus: int, mean_fill: float) -> list[Cost]:
    """Return what an epoch of `hours` costs on so many GPUs, for each encoder.

    `mean_fill` is the share of a 30 s window that is speech, as a plan has it.
    """
    windows = round(hours * 3600 / (30 * mean_fill))
    found = []
    for name, encoder in ENCODERS.items():
        seconds = encoder.training_flops / (PEAK_TFLOPS * 1e12 * UTILISATION)
        rate = 1 / seconds
        bytes_ = rate * 30 * mean_fill * FLAC_BYTES_PER_SECOND
        found.append(
            Cost(
                hours=hours,
                encoder=name,
                gpus=gpus,
                windows=windows,
                gpu_hours=windows * seconds / 3600,
                wall_hours=windows * seconds / 3600 / gpus,
                windows_per_gpu_second=rate,
                flac_mb_per_gpu_second=bytes_ / 1e6,
                flac_gb_per_second=gpus * bytes_ / 1e9,
                cores_per_gpu=rate * WINDOW_MS["best"] / 1000,
                cores_per_gpu_baseline=rate * WINDOW_MS["baseline"] / 1000,
                cpu_core_hours=windows * WINDOW_MS["best"] / 3.6e6,
            )
        )
    return found


def storage(hours: float) -> dict[str, float]:
    """Return the terabytes of so many hours as FLAC and as 16-bit WAV, both at 16 kHz."""
    return {
        "flac_tb": 3600 * hours * FLAC_BYTES_PER_SECOND / 1e12,
        "wav_tb": 3600 * hours * WAV_BYTES_PER_SECOND / 1e12,
    }


def index_bytes_per_clip(clips: int = 20_000) -> float:
    """Return what a clip takes in the Arrow index that every process reads whole, measured on typical rows."""
    import pyarrow as pa

    from valenza.shards.index import SCHEMA

    rows: dict[str, list[Any]] = {
        "id": [f"corpus-speaker_{i:06d}-utterance" for i in range(clips)],
        "shard": [f"corpus-{i // 2000:06d}.tar" for i in range(clips)],
        "offset": [i * 96_000 for i in range(clips)],
        "size": [96_000] * clips,
        "crc32": list(range(clips)),
        "samples": [70_000] * clips,
        "duration": [4.375] * clips,
        "corpus": ["corpus"] * clips,
        "language": ["en-US"] * clips,
        "speaker": [f"{i % 1000:04d}" for i in range(clips)],
        "gender": ["female"] * clips,
        "recording": [f"recording_{i // 10:06d}" for i in range(clips)],
        "label": [None] * clips,
        "votes": [[("anger", 3.0), ("neutral", 2.0)]] * clips,
        "intensity": [None] * clips,
        "text": ["a sentence of some fifty letters, as people speak"] * clips,
        "split": ["train"] * clips,
        "source": [f"audio/{i // 10:06d}/utterance_{i:06d}.wav" for i in range(clips)],
        "frames": [None] * clips,
    }
    return float(pa.table(rows, schema=SCHEMA).nbytes) / clips


def plan_table(plans: Sequence[Mapping[str, Any]]) -> str:
    """Return what `bench plan --hours` measured, a column for each size, as Markdown."""
    hours = [f"{plan['hours']:,.0f} h × {plan['ranks']:,} ranks" for plan in plans]
    lines = ["| | " + " | ".join(hours) + " |", "|---|" + "--:|" * len(plans)]
    lines += [
        f"| {name.replace('_', ' ')} | " + " | ".join(_said(plan[name]) for plan in plans) + " |"
        for name in plans[0]
        if name not in ("hours", "ranks")
    ]
    return "\n".join(lines) + "\n"


def cost_table(plans: Sequence[Mapping[str, Any]]) -> str:
    """Return the costs of the epochs that were planned, as Markdown."""
    head = [
        "hours", "encoder", "GPUs", "windows", "GPU h", "wall h", "windows/s a GPU", "FLAC MB/s a GPU",
        "FLAC GB/s in all", "cores a GPU", "with common libraries", "CPU core h",
    ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|--:|---|" + "--:|" * (len(head) - 2)]
    lines += ["| " + " | ".join(_said(value) for value in asdict(cost).values()) + " |" for cost in _all(plans)]
    return "\n".join(lines) + "\n"


def size_table(plans: Sequence[Mapping[str, Any]]) -> str:
    """Return how much the clips take on disk and the index in memory, as Markdown."""
    each = index_bytes_per_clip()
    head = [
        "hours",
        "clips",
        "FLAC TB",
        "WAV TB",
        "Arrow index GB a process",
        "with targets",
        "plan's index MB",
        "of a rank MB",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "--:|" * len(head)]
    for plan in plans:
        sizes = storage(plan["hours"])
        figures = [
            plan["hours"], plan["clips"], sizes["flac_tb"], sizes["wav_tb"], plan["clips"] * each / 1e9,
            plan["clips"] * (each + BESIDE_INDEX) / 1e9,
            plan["index_bytes"] / 1e6, plan["index_bytes_per_rank"] / 1e6,
        ]  # fmt: skip
        lines.append("| " + " | ".join(_said(figure) for figure in figures) + " |")
    lines += ["", f"{each:.0f} bytes a clip in the Arrow index, measured on rows with votes and text."]
    return "\n".join(lines) + "\n"


def read_plans(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what `bench plan --hours` printed, smallest first. Raises `UsageError` for a file that is not that."""
    plans = []
    for path in paths:
        try:
            plan = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read: {error}") from None
        if not isinstance(plan, dict) or not {"hours", "ranks", "mean_fill", "clips", "index_bytes"} <= plan.keys():
            raise UsageError(f"{path}: not what `valenza bench plan --hours … --json` prints")
        plans.append(plan)
    return sorted(plans, key=lambda plan: float(plan["hours"]))


def costs(plans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the tables show, for programs."""
    sizes = [{"hours": plan["hours"], **storage(plan["hours"])} for plan in plans]
    each = round(index_bytes_per_clip(), 1)
    return {"epochs": [asdict(cost) for cost in _all(plans)], "storage": sizes, "index_bytes_per_clip": each}


def _all(plans: Sequence[Mapping[str, Any]]) -> Iterator[Cost]:
    for plan in plans:
        yield from epoch_costs(plan["hours"], plan["ranks"], plan["mean_fill"])


def _said(value: object) -> str:
    if isinstance(value, list):
        return " … ".join(_said(each) for each in value)
    if isinstance(value, int) or (isinstance(value, float) and value == round(value) and abs(value) >= 1):
        return f"{value:,.0f}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}" if value >= 1e-3 or not value else f"{value:.6f}"
    return str(value)
