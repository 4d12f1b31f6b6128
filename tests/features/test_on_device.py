"""Changes of whole batches, in a process of its own: torchaudio beside a CPU torch breaks transformers."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valenza.errors import UsageError
from valenza.features.augment import Augmentation
from valenza.features.batch import Hearing
from valenza.features.on_device import training_windows
from valenza.recipe import Augment

SITE = os.environ.get("VALENZA_GPU_SITE", "")
"""A folder that holds torch-audiomentations, for environments whose torchaudio does not fit their torch."""
INSTALLED = importlib.util.find_spec("torch_audiomentations") is not None


@pytest.mark.skipif(not SITE and not INSTALLED, reason="torch-audiomentations is not here; see VALENZA_GPU_SITE")
def test_batches_are_changed_with_torch_audiomentations() -> None:
    cases = Path(__file__).with_name("on_device_cases.py")
    paths = [p for p in (*sys.path, SITE) if p]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(cases)],
        cwd=cases.parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 15
    assert "skipped" not in done.stdout


@pytest.mark.skipif(INSTALLED, reason="torch-audiomentations is installed")
def test_a_recipe_that_needs_torch_audiomentations_says_so(stored: Any) -> None:
    reader, index = stored
    augment = Augmentation(Augment.model_validate({"drawn": "batch", "gain": 1}), index["id"].to_pylist(), 7)
    nothing = np.zeros((len(index), 8)), np.zeros((len(index), 8), dtype=bool)
    with pytest.raises(UsageError, match=r"needs torch-audiomentations: pip install 'valenza\[gpu\]'"):
        training_windows(reader, Hearing("waveform"), *nothing, augment, on_device=False)
