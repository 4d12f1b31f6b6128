"""Requests made up from the server's own description of itself: none may break it."""

import itertools
import os
from typing import Any

import numpy as np
import pytest
import schemathesis
from fuzz import Answers
from schemathesis import GenerationMode
from wires import file_of

REQUESTS = int(os.environ.get("VALENZA_FUZZ_SERVE", "500"))


@pytest.fixture(scope="module")
def wav() -> bytes:
    return file_of(0.1 * np.sin(np.arange(8_000) / 9))


@pytest.mark.timeout(600)
def test_no_request_breaks_the_server(server: Any, wav: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} == {"/predict", "/healthz", "/model"}
    told = Answers()

    def with_sound(case: Any) -> None:
        case.body = {"file": wav} if case.media_type == "multipart/form-data" else wav

    for operation in operations:
        if operation.path != "/predict":
            told.send(operation, GenerationMode.POSITIVE, 5)
            continue
        # Few made-up bytes are sound: half of the requests carry some, so that every parameter is reached.
        for mode, fit in itertools.product(GenerationMode, (with_sound, None)):
            told.send(operation, mode, -(-REQUESTS // 4), fit)
    with capsys.disabled():
        told.say()
    assert told.total() >= REQUESTS
    assert not told.broken
    assert told["/predict", 200] >= REQUESTS // 10
    assert told["/predict", 422] > 0
    assert server.healthy()["ok"]
