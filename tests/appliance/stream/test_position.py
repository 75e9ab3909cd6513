import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.stream.model import BadPositionError, Position
from appliance.stream.position import parsed, printed


@given(st.integers(0, 10**18 - 1), st.none() | st.integers(1, 10**9 - 1))
def test_a_place_is_read_as_it_was_written(log_id: int, left: int | None) -> None:
    assert parsed(printed(Position(log_id, left))) == Position(log_id, left)


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(BadPositionError):
        assert printed(parsed(text)) == text


@pytest.mark.parametrize("text", ["", "x", "-1", "01", "5.", "5.0", "5.1.1", "9" * 30, "٣"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(BadPositionError):
        parsed(text)
