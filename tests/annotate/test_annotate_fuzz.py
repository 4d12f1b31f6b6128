"""Thousands of requests made up from the server's own description of itself: none may break it (R18)."""

import itertools
import os
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from valenza.terminal import say

REQUESTS = int(os.environ.get("VALENZA_FUZZ", "5000"))
SHARES = {"/api/votes": 8, "/api/undo": 4, "/api/consent": 4, "/api/audio/{asset}": 3}
"""How many of the requests go to what takes something, each of the others having one."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.timeout(600)
def test_no_request_breaks_the_server(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    annotator = server.annotator().agree()
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/healthz", "/api/session", "/api/next", *SHARES}
    ways = list(itertools.product(operations, GenerationMode, (True, False)))
    whole = sum(SHARES.get(operation.path, 1) for operation, *_ in ways)
    told: Counter[tuple[str, int]] = Counter()
    for operation, mode, invited in ways:
        amount = -(-REQUESTS * SHARES.get(operation.path, 1) // whole)
        if mode is GenerationMode.NEGATIVE and not (operation.body or operation.path_parameters):
            mode = GenerationMode.POSITIVE  # nothing can be wrong with a request that holds nothing
        # Where nothing can be varied, one request is all that can be made up; it is sent again.
        rounds, each = (1, amount) if operation.path in SHARES else (amount, 1)
        for _ in range(rounds):
            send(operation, mode, annotator if invited else None, told, each)
    with capsys.disabled():
        kinds: Counter[int] = Counter()
        for (_, status), count in told.items():
            kinds[status] += count
        say(f" {sum(told.values()):,} requests: " + ", ".join(f"{n:,} × {s}" for s, n in sorted(kinds.items())))
    assert sum(told.values()) >= REQUESTS
    assert not [key for key in told if key[1] >= 500]
    # Requests of every kind went all the way in, and none without a token did.
    for operation in operations:
        assert told[operation.path, 200] > 0, operation.path
        assert operation.path == "/healthz" or told[operation.path, 401] > 0, operation.path
    assert annotator.get("/api/session").status_code == 200


def send(operation: Any, mode: GenerationMode, annotator: Any, told: Counter[tuple[str, int]], amount: int) -> None:
    """Make up so many requests for an operation, send them and check the answers."""
    turns = itertools.count()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=amount,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Any) -> None:
        headers = {} if annotator is None else {"Authorization": f"Bearer {annotator.token}"}
        turn = next(turns)
        if annotator is not None and turn % 2 and isinstance(case.body, dict) and "pair" in case.body:
            case.body["pair"] = annotator.next().get("pair", case.body["pair"])
        if annotator is not None and turn % 2 and "asset" in case.path_parameters:
            case.path_parameters["asset"] = annotator.next().get("audio", "0")
        answer = case.call(headers=headers)
        told[operation.path, answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    one()
