"""Windows a step, as a function of the step alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from valenza.recipe import Training
from valenza.training.growth import windows_at, windows_in_all


def test_windows_double_at_equal_distances() -> None:
    settings = Training(steps=8, windows_per_step=(64, 512))
    assert [windows_at(step, settings) for step in range(8)] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert windows_in_all(settings) == 2 * (64 + 128 + 256 + 512)


def test_the_last_number_is_reached_where_it_is_no_power_of_two() -> None:
    settings = Training(steps=6, windows_per_step=(6, 20))
    assert [windows_at(step, settings) for step in range(6)] == [6, 6, 12, 12, 20, 20]


@given(first=st.integers(1, 600), more=st.integers(0, 600), steps=st.integers(1, 60))
def test_windows_grow_from_the_first_to_the_last(first: int, more: int, steps: int) -> None:
    settings = Training(steps=steps, windows_per_step=(first, first + more))
    found = [windows_at(step, settings) for step in range(steps)]
    assert found == sorted(found)
    assert found[0] == first
    assert found[-1] <= first + more
    if steps > 12:  # more steps than doublings
        assert found[-1] == first + more
    assert sum(found) == windows_in_all(settings)


def test_a_number_stays() -> None:
    settings = Training(steps=5, windows_per_step=7)
    assert {windows_at(step, settings) for step in range(5)} == {7}


@pytest.mark.parametrize("wrong", [0, [8, 4], [0, 4], [2], [1, 2, 3], "x"])
def test_what_cannot_be_meant_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Training.model_validate({"steps": 3, "windows_per_step": wrong})
