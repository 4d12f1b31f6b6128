"""Servers that misbehave, a bucket on this machine, and shards of a small corpus to put there."""

import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from valenza.shards import remote, servers, stored
from valenza.shards.write import build


def _load(name: str) -> ModuleType:
    described = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert described is not None
    assert described.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


hostile_server = _load("hostile_server")
_KEPT: list[Any] = []
"""File systems of earlier tests: closing one is their process's last act."""
_BUILT: list[Path] = []


@pytest.fixture(autouse=True)
def fresh(monkeypatch: Any, tmp_path: Path) -> Iterator[None]:
    """A cache of one's own, connections of one's own, and little patience."""
    monkeypatch.setenv("VALENZA_SHARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VALENZA_SHARD_CACHE_GB", raising=False)
    monkeypatch.setattr(servers, "_file_systems", {})
    monkeypatch.setattr(stored, "_descriptions", {})
    patience = remote.Patience(seconds=0.8, first=0.01, longest=0.05, jitter=0.01, tries=6)
    monkeypatch.setattr(remote, "PATIENCE", patience)
    monkeypatch.setattr(remote, "BLOCK", 1 << 16)
    yield
    _KEPT.append(servers._file_systems)


@pytest.fixture
def web() -> Iterator[Callable[[Path], Any]]:
    """Start a web server that gives out a folder."""
    with ExitStack() as stack:
        yield lambda root: stack.enter_context(hostile_server.hostile(hostile_server.folder(root)))


@pytest.fixture(scope="session")
def moto() -> Iterator[int]:
    """The port of a real S3 endpoint on this machine."""
    server = pytest.importorskip("moto.server", reason="needs moto[server,s3]")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield running.get_host_and_port()[1]
    running.stop()


@pytest.fixture
def bucket(moto: int, monkeypatch: Any, tmp_path: Path) -> Iterator[Callable[[Path], Any]]:
    """Put a folder into the bucket `test` under `shards`; returns the server that stands before it."""
    import boto3

    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "s3cret", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{moto}")

    client.create_bucket(Bucket="test")

    def put(root: Path, stack: ExitStack) -> Any:
        for path in root.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), "test", f"shards/{path.relative_to(root)}")
        before = stack.enter_context(hostile_server.hostile(hostile_server.before(moto)))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{before.port}")
        return before

    with ExitStack() as stack:
        yield lambda root: put(root, stack)
        for found in client.list_objects_v2(Bucket="test").get("Contents", []):
            client.delete_object(Bucket="test", Key=found["Key"])
    client.close()


@pytest.fixture
def shards(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of 40 clips, made once, in a folder that is called `shards` in a folder of its own."""
    if not _BUILT:
        folder = tmp_path_factory.mktemp("served") / "shards"
        card, manifest, make = map(request.getfixturevalue, ("card", "manifest", "make"))
        build(card, manifest, make(40), folder, shard_bytes=60_000)
        _BUILT.append(folder)
    return _BUILT[0]
