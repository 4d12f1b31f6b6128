"""What several rooms' tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings and models, which are not part of the project."""
    folder = Path(os.environ.get("VALENZA_REAL", ROOT.parent / "shared"))
    if not (folder / "corpora").is_dir():
        pytest.skip(f"no real corpora at {folder}; set VALENZA_REAL")
    return folder
