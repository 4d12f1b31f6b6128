"""Thousands of requests made up from the server's own description of itself: none may break it (R18)."""

import itertools
import os
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from fuzz import Answers
from schemathesis import GenerationMode

REQUESTS = int(os.environ.get("VALENZA_FUZZ", "5000"))
SHARES = {"/api/votes": 8, "/api/undo": 4, "/api/consent": 4, "/api/audio/{asset}": 3}
"""How many of the requests go to what takes something, each of the others having one."""


@pytest.mark.timeout(600)
def test_no_request_breaks_the_server(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    annotator = server.annotator().agree()
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/healthz", "/api/session", "/api/next", *SHARES}
    ways = list(itertools.product(operations, GenerationMode, (True, False)))
    whole = sum(SHARES.get(operation.path, 1) for operation, *_ in ways)
    told, known = Answers(), invitation(annotator)
    for operation, mode, invited in ways:
        amount = -(-REQUESTS * SHARES.get(operation.path, 1) // whole)
        if mode is GenerationMode.NEGATIVE and not (operation.body or operation.path_parameters):
            mode = GenerationMode.POSITIVE  # nothing can be wrong with a request that holds nothing
        # Where nothing can be varied, one request is all that can be made up; it is sent again.
        rounds, each = (1, amount) if operation.path in SHARES else (amount, 1)
        for _ in range(rounds):
            told.send(operation, mode, each, known if invited else None)
    with capsys.disabled():
        told.say()
    assert told.total() >= REQUESTS
    assert not told.broken
    # Requests of every kind went all the way in, and none without a token did.
    for operation in operations:
        assert told[operation.path, 200] > 0, operation.path
        assert operation.path == "/healthz" or told[operation.path, 401] > 0, operation.path
    assert annotator.get("/api/session").status_code == 200


def invitation(annotator: Any) -> Callable[[Any], dict[str, str]]:
    """Return what makes a request one of this annotator's; every second asks for a pair or a sound that there is."""
    turns = itertools.count()

    def fit(case: Any) -> dict[str, str]:
        real = next(turns) % 2
        if real and isinstance(case.body, dict) and "pair" in case.body:
            case.body["pair"] = annotator.next().get("pair", case.body["pair"])
        if real and "asset" in case.path_parameters:
            case.path_parameters["asset"] = annotator.next().get("audio", "0")
        return {"Authorization": f"Bearer {annotator.token}"}

    return fit
