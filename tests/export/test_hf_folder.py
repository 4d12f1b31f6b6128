"""A folder of `valenza export --to hf` is whole, or as it was: on full disks, and after kills and failures too."""

import errno
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from valenza.errors import CANNOT_WRITE, DataError, UsageError, WriteError
from valenza.export.hub import write as hf

Train = Callable[..., list[float]]
TWO_STEPS = ("training.steps=2", "training.validate_every=2", "training.checkpoint_every=2")
CLIPS = 3


@pytest.fixture
def trained(train_here: Train, corner: Any) -> Path:
    """A run of two steps, trained once."""
    place = Path(corner.folder / "run-to-export")
    if not place.exists():
        train_here(place, *TWO_STEPS)
    return place


def held(folder: Path) -> dict[str, bytes]:
    """The files of a folder, without those of the folders in it."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def earlier(trained: Path, tmp_path: Path) -> dict[str, bytes]:
    """What `tmp_path / "out"` holds: the export of a run with another name, so that a later one differs."""
    shutil.copytree(trained, tmp_path / "earlier")
    hf.export_hf(tmp_path / "earlier", tmp_path / "out", clips=CLIPS)
    shutil.rmtree(tmp_path / "earlier")
    return held(tmp_path / "out")


@contextmanager
def no_renaming(*names: str) -> Iterator[None]:
    """Let no folder of these names be renamed, as on a disk that fails."""
    rename = Path.rename

    def perhaps(place: Path, target: Path) -> Path:
        if place.name in names:
            raise OSError(errno.EIO, "Input/output error")
        return rename(place, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", perhaps)
        yield


@contextmanager
def saying_something_else() -> Iterator[None]:
    """Let whatever is written differ from the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("valenza.export.hub.agreement.LOGITS", -1.0)
        yield


def test_a_folder_is_replaced_only_by_a_whole_export_and_only_if_it_was_one(
    trained: Path, earlier: dict[str, bytes], tmp_path: Path
) -> None:
    theirs, out = tmp_path / "theirs", tmp_path / "out"
    theirs.mkdir()
    (theirs / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="is no earlier export"):
        hf.export_hf(trained, theirs)
    assert (theirs / "config.json").read_text() == "{}"
    with saying_something_else(), pytest.raises(DataError, match=r"logits differ by .* nothing was exported"):
        hf.export_hf(trained, out, clips=CLIPS)
    assert held(out) == earlier
    assert hf.export_hf(trained, out, clips=CLIPS).parity["run"] == trained.name
    assert held(out).keys() == earlier.keys()
    assert held(out) != earlier
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "theirs"]


def test_a_folder_that_cannot_get_its_name_leaves_what_was_there(
    trained: Path, earlier: dict[str, bytes], tmp_path: Path
) -> None:
    with no_renaming(".out.exporting"), pytest.raises(WriteError, match="out: cannot be written: Input/output error"):
        hf.export_hf(trained, tmp_path / "out", clips=CLIPS)
    assert held(tmp_path / "out") == earlier
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_what_could_not_be_put_back_is_put_back_by_the_next_export(
    trained: Path, earlier: dict[str, bytes], tmp_path: Path
) -> None:
    """As after a kill between the two renames: the earlier export then has its hidden name only."""
    with no_renaming(".out.exporting", ".out.replaced"), pytest.raises(WriteError):
        hf.export_hf(trained, tmp_path / "out", clips=CLIPS)
    assert [file.name for file in tmp_path.iterdir()] == [".out.replaced"]
    assert held(tmp_path / ".out.replaced") == earlier
    with saying_something_else(), pytest.raises(DataError):
        hf.export_hf(trained, tmp_path / "out", clips=CLIPS)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert held(tmp_path / "out") == earlier


def test_what_was_replaced_before_a_kill_is_deleted(trained: Path, earlier: dict[str, bytes], tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "out", tmp_path / ".out.replaced")
    with saying_something_else(), pytest.raises(DataError):
        hf.export_hf(trained, tmp_path / "out", clips=CLIPS)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert held(tmp_path / "out") == earlier


@pytest.mark.parametrize("room", [1_000, 16_000], ids=["config", "weights"])
def test_a_full_disk_leaves_what_was_there(room: int, trained: Path, earlier: dict[str, bytes], tmp_path: Path) -> None:
    """Weights that find no room are no `OSError` to safetensors."""
    assert len(earlier["config.json"]) < 16_000 < len(earlier["model.safetensors"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(WriteError, match=r"\.out\.exporting: cannot be written: .*File too large") as failure:
            hf.export_hf(trained, tmp_path / "out", clips=CLIPS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failure.value.code == CANNOT_WRITE
    assert held(tmp_path / "out") == earlier
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_trained_run_is_exported_with_its_card(trained: Path, tmp_path: Path) -> None:
    exported = hf.export_hf(trained, tmp_path / "out", clips=6)
    card = ModelCard((tmp_path / "out" / "README.md").read_text())
    assert exported.parity["checkpoint"] == "step-00000002"
    assert "| `english` | Tones of english | en | 24 | 0.01 | none |" in card.text
    assert "Unknown: the run was not evaluated" in card.text
    assert card.data.license_name == "unknown-training-data-licence"
    assert str(tmp_path) not in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(UsageError, match="there is no"):
        hf.export_hf(trained, tmp_path / "out", audio=[tmp_path / "nothing"])
