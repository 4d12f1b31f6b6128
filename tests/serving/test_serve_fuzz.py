"""Requests made up from the server's own description of itself: none may break it."""

import io
import itertools
import os
from collections import Counter
from typing import Any

import numpy as np
import pytest
import schemathesis
import soundfile
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from valenza.terminal import say

REQUESTS = int(os.environ.get("VALENZA_FUZZ_SERVE", "500"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def wav() -> bytes:
    out = io.BytesIO()
    tone = 0.1 * np.sin(np.arange(8_000) / 9)
    soundfile.write(out, tone, 16_000, format="WAV", subtype="PCM_16")
    return out.getvalue()


@pytest.mark.timeout(600)
def test_no_request_breaks_the_server(server: Any, wav: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} == {"/predict", "/healthz", "/model"}
    told: Counter[tuple[str, int]] = Counter()
    for operation in operations:
        if operation.path != "/predict":
            send(operation, GenerationMode.POSITIVE, told, 5)
            continue
        # Few made-up bytes are sound: half of the requests carry some, so that every parameter is reached.
        for mode, sound in itertools.product(GenerationMode, (wav, None)):
            send(operation, mode, told, -(-REQUESTS // 4), sound)
    with capsys.disabled():
        kinds: Counter[int] = Counter()
        for (_, status), count in told.items():
            kinds[status] += count
        say(f" {sum(told.values()):,} requests: " + ", ".join(f"{n:,} × {s}" for s, n in sorted(kinds.items())))
    assert sum(told.values()) >= REQUESTS
    assert not [key for key in told if key[1] >= 500]
    assert told["/predict", 200] >= REQUESTS // 10
    assert told["/predict", 422] > 0
    assert server.healthy()["ok"]


def send(operation: Any, mode: GenerationMode, told: Counter[tuple[str, int]], amount: int, sound: Any = None) -> None:
    """Make up so many requests for an operation, send them and check the answers."""

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
        if sound is not None and case.media_type == "multipart/form-data":
            case.body = {"file": sound}
        elif sound is not None:
            case.body = sound
        answer = case.call()
        told[operation.path, answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    one()
