"""Marks are told and taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.stream.model import BadPositionError
from appliance.stream.replay.messages.model import Mark, parsed, printed
from appliance.stream.replay.ordering import Place


@given(st.integers(0, 10**15), st.integers(0, 10**9), st.booleans())
def test_a_mark_that_was_told_is_taken_back(arrived_at: int, number: int, is_raw: bool) -> None:
    mark = Mark(Place(arrived_at, number), is_raw)
    assert parsed(printed(mark)) == mark


@pytest.mark.parametrize("text", ["", "j", "jj1.2", "k1.2", "j1.2\n", "end"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadPositionError):
        parsed(text)
