"""How servers say no: JSON with one sentence, whatever went wrong."""

import json
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from valenza.web.guard import RefusedError

FRESH = {"cache-control": "no-store"}


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


def problem(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer to a request that fails."""
    # Escaped, so that half a surrogate pair in a key that someone sends can be sent back.
    body = json.dumps({"detail": reason[:300]}).encode()
    return Response(body, status, FRESH | dict(headers or {}), "application/json")


def on_one_line(error: BaseException) -> str:
    """Return an error as a line of a log has it."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def explain(app: FastAPI, headers: Mapping[int, Mapping[str, str]]) -> None:
    """Answer everything that an application refuses with a `Problem`, and a status with the headers it asks for."""

    @app.exception_handler(RefusedError)
    def refused(_: Request, refusal: RefusedError) -> Response:
        return problem(refusal.status, refusal.reason, headers.get(refusal.status))

    @app.exception_handler(HTTPException)
    def failed(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(Exception)
    def broken(_: Request, __: Exception) -> Response:  # its traceback goes to the log
        return problem(500, "the server is at fault here; its log says why")

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return problem(422, f"{place}: {first['msg']}")
