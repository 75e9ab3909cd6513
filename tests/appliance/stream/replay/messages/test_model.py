"""Marks are told and taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.stream.model import BadPositionError
from appliance.stream.replay.messages.model import Mark, parsed, printed
from appliance.stream.replay.ordering import Place
from appliance.telemetry.journal.model import Standing

standings = st.none() | st.builds(Standing, st.integers(1, 10**9), st.integers(1, 10**9))


@given(st.integers(0, 10**15), st.integers(0, 10**9), st.booleans(), standings)
def test_a_mark_that_was_told_is_taken_back(
    arrived_at: int, number: int, is_raw: bool, standing: Standing | None
) -> None:
    mark = Mark(Place(arrived_at, number), is_raw, standing if is_raw else None)
    assert parsed(printed(mark)) == mark


@pytest.mark.parametrize(
    "text", ["", "j", "jj1.2", "k1.2", "j1.2\n", "end", "j1.2-", "j1.2-0.1", "1.2-1.1", "j1.2-1.1\n"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadPositionError):
        parsed(text)
