"""A process that keeps the others waiting is named, and what it waits for itself."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from valenza.training.pace import EVERY, Pace


def test_a_slow_process_is_told_by_every_process_at_the_same_step(corner: Any) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launcher, str(Path(__file__).with_name("pacing.py"))],
        env=corner.environment | {"ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for rank in (0, 1):
        told = [line for line in done.stdout.splitlines() if line.startswith(f"{rank} {EVERY} ")]
        assert len(told) == 2
        assert "pace over 100 steps: ready after 0.250 s (95 %: 0.400 s), of which waiting for data 0.155 s" in told[0]
        assert "process 1 is a straggler: ready after 0.400 s, the others after 0.100 s; 75%" in told[1]


def test_one_process_has_a_pace_and_no_stragglers(by_itself: Any, tmp_path: Path) -> None:
    with by_itself(tmp_path):
        pace = Pace(Accelerator(cpu=True))
    for step in range(1, 2 * EVERY + 1):
        pace.add(busy=0.2, waited=0.1)
        told = pace.told(step)
        assert len(told) == (step % EVERY == 0)
