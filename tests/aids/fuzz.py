"""Requests made up from a server's own description of itself, and what came back."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from valenza.terminal import say

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


class Answers(Counter[tuple[str, int]]):
    """How often each path gave each status."""

    def send(self, operation: Any, mode: GenerationMode, amount: int, fit: Callable[[Any], Any] | None = None) -> None:
        """Make up so many requests for an operation, send them and check the answers.

        `fit` may change a request before it goes, and returns its headers.
        """

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
            answer = case.call(headers=fit(case) if fit else None)
            self[operation.path, answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        one()

    def say(self) -> None:
        kinds: Counter[int] = Counter()
        for (_, status), count in self.items():
            kinds[status] += count
        say(f" {self.total():,} requests: " + ", ".join(f"{n:,} × {s}" for s, n in sorted(kinds.items())))

    @property
    def broken(self) -> list[tuple[str, int]]:
        """What a server must never answer."""
        return [key for key in self if key[1] >= 500]
