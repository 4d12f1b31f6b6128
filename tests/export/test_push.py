"""A folder is uploaded to a server that speaks the hub's protocol; what goes wrong there is told in one line."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from valenza.errors import UsageError, WriteError
from valenza.export.hub.push import push_to_hub


@dataclass
class Hub:
    """As much of a hub as an upload needs: repositories, tokens and commits."""

    address: str = ""
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    failing: bool = False

    def answer(self, path: str, token: str | None, body: bytes) -> tuple[int, Any]:
        if self.failing:
            return 500, {"error": "the disk is full"}
        if token != "Bearer hf_good":
            return 401, {"error": "Invalid username or password."}
        if path == "/api/repos/create":
            said = json.loads(body)
            name = f"{said.get('organization') or 'me'}/{said['name']}"
            if name.startswith("theirs/"):
                return 403, {"error": "You don't have the rights to create a model under theirs"}
            self.repositories.setdefault(name, said)
            return 200, {"url": f"{self.address}/{name}"}
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            plain = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            return 200, {"files": plain}
        if "/commit/" in path:
            name = "/".join(path.split("/")[3:5])
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    assert value["encoding"] == "base64"
                    self.files.setdefault(name, {})[value["path"]] = base64.b64decode(value["content"])
            commit = "0" * 40
            return 200, {"commitUrl": f"{self.address}/{name}/commit/{commit}", "commitOid": commit, "hookOutput": ""}
        return 200, {"errors": [], "warnings": []}  # /api/validate-yaml


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = state.answer(self.path, self.headers.get("Authorization"), body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    reach(monkeypatch, state.address)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def reach(monkeypatch: pytest.MonkeyPatch, address: str, token: str = "hf_good") -> None:
    """Point the library, which reads its environment when it is imported, to an address."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", token)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "exported"
    place.mkdir()
    (place / "README.md").write_text("---\nlicense: other\n---\n# A model\n")
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    return place


def test_every_file_arrives_byte_for_byte_in_one_repository(hub: Hub, folder: Path) -> None:
    address = push_to_hub(folder, "me/emotions", private=True)
    assert address == f"{hub.address}/me/emotions"
    said = hub.repositories["me/emotions"]
    assert said.get("visibility") == "private" or said.get("private") is True
    assert hub.files["me/emotions"] == {file.name: file.read_bytes() for file in folder.iterdir()}
    (folder / "config.json").write_text('{"changed": true}')
    push_to_hub(folder, "me/emotions")
    assert hub.files["me/emotions"]["config.json"] == b'{"changed": true}'


def test_a_refusal_is_one_line(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"the hub refuses: .*403") as refused:
        push_to_hub(folder, "theirs/emotions")
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="--push-to-hub a b/c"):
        push_to_hub(folder, "a b/c")
    reach(monkeypatch, hub.address, "hf_bad")
    with pytest.raises(UsageError, match="hf auth login"):
        push_to_hub(folder, "me/emotions")
    assert not hub.files


def test_a_hub_that_fails_or_is_not_there_leaves_the_folder(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    hub.failing = True
    with pytest.raises(WriteError, match="exported is there, to be pushed later"):
        push_to_hub(folder, "me/emotions")
    reach(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(WriteError, match="cannot be reached"):
        push_to_hub(folder, "me/emotions")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        push_to_hub(folder, "me/emotions")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
