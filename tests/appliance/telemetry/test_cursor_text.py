"""What was written is read again, and nothing else is a cursor."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.telemetry.cursor_text import CursorText


class Page(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    number: int
    after: str


pages = CursorText(Page, lambda page: page.number >= 0)


@given(st.integers(0, 2**60), st.text(max_size=20))
def test_a_cursor_is_read_as_it_was_written(number: int, after: str) -> None:
    text = pages.written(Page(number, after))
    assert pages.read(text) == Page(number, after)
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=30) | st.binary(max_size=30).map(lambda raw: raw.decode("latin-1")))
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidInputError, match="cursor is not"):
        pages.read(text)


def test_no_answer_had_what_may_not_be() -> None:
    with pytest.raises(InvalidInputError, match="cursor is not"):
        pages.read(pages.written(Page(-1, "")))
