"""YAML as people read it: keys in the order they were written, scripts as blocks of lines."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from valenza.errors import UsageError
from valenza.launch.job import Job, check_words

ENGINE = "accelerate/engine.yaml"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def documents(comment: str, values: Sequence[dict[str, Any]]) -> str:
    """Return YAML documents, one for each value, after lines of comment."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    body = yaml.dump_all(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return head + body


def read_text(path: Path) -> str:
    """Return a file that travels with a job; raises `UsageError` where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def companions(recipe: Path, engine: Path | None) -> dict[str, Path]:
    """Return the files that machines need which do not see this disk: path there, below one folder → path here.

    An engine file may name a DeepSpeed file; that goes along, and lies where the engine file's reader looks for it.
    """
    files = {"recipe.yaml": recipe}
    if engine is None:
        return files
    files[ENGINE] = engine
    try:
        values = yaml.safe_load(read_text(engine))
    except yaml.YAMLError as error:
        raise UsageError(f"{engine}: cannot be read: {str(error).splitlines()[0]}") from None
    section = values.get("deepspeed_config") if isinstance(values, dict) else None
    named = section.get("deepspeed_config_file") if isinstance(section, dict) else None
    if isinstance(named, str):
        beside = engine.parent.parent / "deepspeed" / Path(named).name
        found = Path(named) if Path(named).is_file() else beside
        check_words(f"{engine}: deepspeed_config_file", [found.name], r"[\w.-]+")
        read_text(found)
        files[f"deepspeed/{found.name}"] = found
    return files


def elsewhere(job: Job, folder: str) -> Job:
    """Return the job as machines see it that have its companions in `folder`."""
    there = Path(folder)
    return replace(job, recipe=there / "recipe.yaml", engine=None if job.engine is None else there / ENGINE)
