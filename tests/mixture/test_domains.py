"""Where training clips come from, numbered."""

import numpy as np
import pyarrow as pa
import pytest

from valenza.mixture.domains import domains

INDEX = pa.table(
    {
        "corpus": ["a", "a", "b", "b", "b", "a"],
        "speaker": ["01", "02", "01", "01", "03", "01"],
        "language": ["en", "en", "it", "en", "it", "en"],
    }
)


@pytest.mark.parametrize(
    ("of", "numbers"),
    [
        (("corpus", "speaker", "language"), [0, -1, 2, 1, 3, 0]),
        (("speaker",), [0, -1, 1, 1, 2, 0]),  # speaker 01 of b is not speaker 01 of a
        (("corpus",), [0, -1, 1, 1, 1, 0]),
        (("language",), [0, -1, 1, 0, 1, 0]),
    ],
)
def test_each_combination_of_training_clips_is_a_domain(of: tuple[str, ...], numbers: list[int]) -> None:
    found = domains(INDEX, np.array([0, 2, 3, 4, 5]), of)
    assert found.of_row.tolist() == numbers
    assert len(found.names) == max(numbers) + 1
    assert all(len(name) == len(of) for name in found.names)
    assert list(found.names) == sorted(found.names)
