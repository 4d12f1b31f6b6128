"""The files of a page: read once at start under fixed names, so no request ever becomes a path."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".glb": "model/gltf-binary",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
HOME = Path(__file__).parents[1]


@dataclass(frozen=True)
class File:
    """A file as it is sent."""

    body: bytes
    type: str
    tag: str
    """Changes with the content, so that a browser need not fetch it twice."""


def read_files(web: str, home: Path = HOME) -> Mapping[str, File]:
    """Return every file of a page, which lies in the folder `web`, and of the avatar, by its address."""
    files = dict(_under(home / web, "/assets/"))
    files |= _under(home / "avatar" / "web", "/assets/avatar/")
    files |= _one(home / "avatar" / "rig.json", "/assets/avatar/rig.json")
    if "/assets/index.html" in files:
        files["/"] = files["/assets/index.html"]
    return files


def add_pages(app: FastAPI, files: Mapping[str, File]) -> None:
    """Serve these files, and nothing else, at every address that the application has not taken by now."""

    @app.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    def page(request: Request) -> Response:
        file = files.get(request.scope["path"])
        if file is None:
            raise HTTPException(404)
        headers = {"cache-control": "no-cache", "etag": file.tag}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, media_type=file.type, headers=headers)


def _under(folder: Path, address: str) -> Iterator[tuple[str, File]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink():
            yield from _one(path, address + path.relative_to(folder).as_posix()).items()


def _one(path: Path, address: str) -> dict[str, File]:
    if path.suffix not in TYPES or not path.is_file():
        return {}
    body = path.read_bytes()
    return {address: File(body, TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')}
