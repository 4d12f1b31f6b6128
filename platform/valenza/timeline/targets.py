"""Where results are written, and what they are called."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from valenza.errors import WriteError


@dataclass(frozen=True)
class Target:
    """Where something is written: a file, or a folder with a file for each recording."""

    path: Path
    folder: bool

    @classmethod
    def of(cls, name: str) -> "Target":
        """Return the target of a name: a folder where there is one, or where the name has no ending."""
        path = Path(name)
        return cls(path, path.is_dir() or name.endswith("/") or not path.suffix)

    def file(self, name: str, ending: str) -> Path:
        """Return where the results of a recording are written that is called so."""
        return self.path / f"{name}{ending}" if self.folder else self.path

    def prepare(self) -> None:
        """Make the folder; raises `WriteError` where nothing can be written, before anything is heard."""
        folder = self.path if self.folder else self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{folder}: cannot be made: {error.strerror}") from None
        if not os.access(folder, os.W_OK):
            raise WriteError(f"{folder}: cannot be written")


def names(files: Sequence[Path]) -> dict[Path, str]:
    """Return what each file's results are called, no two alike: its name, or its path where names are not enough."""
    plain = [Path(os.path.abspath(file)) for file in files]  # noqa: PTH100 - `absolute` keeps `..`, which leads out
    above = Path(os.path.commonpath([file.parent for file in plain]))
    within = [file.relative_to(above) for file in plain]
    ways = ([path.stem for path in within], [str(path.with_suffix("")) for path in within], [str(p) for p in within])
    chosen = next((way for way in ways if len({name.lower() for name in way}) == len(way)), ways[-1])
    return dict(zip(files, chosen, strict=True))
