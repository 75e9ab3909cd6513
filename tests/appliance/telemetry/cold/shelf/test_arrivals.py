"""When what is in a file arrived is known of that file and of no other, also after a start."""

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.cold.model import ColdDay
from appliance.telemetry.cold.shelf.arrivals import ArrivalBook

DAY = ColdDay(5, "source", sha256="aa")
moments = st.integers(0, 20)


@given(st.lists(moments, min_size=1), moments, moments)
def test_a_span_in_which_something_arrived_is_never_passed_over(arrived: list[int], start: int, end: int) -> None:
    book = ArrivalBook(Path())
    book.note(DAY, min(arrived), max(arrived))
    if any(start <= each < end for each in arrived):
        assert book.may_touch(DAY, start, end)
    assert not book.may_touch(DAY, max(arrived) + 1, max(arrived) + 2)
    assert not book.may_touch(DAY, min(arrived) - 1, min(arrived))


def test_of_another_file_of_the_day_nothing_is_known(tmp_path: Path) -> None:
    book = ArrivalBook(tmp_path)
    book.note(DAY, 10, 20)
    book.save({5: DAY})
    later = ArrivalBook(tmp_path)
    later.load()
    assert later.is_known(DAY)
    assert not later.may_touch(DAY, 21, 30)
    other = msgspec.structs.replace(DAY, sha256="bb")
    assert not later.is_known(other)
    assert later.may_touch(other, 21, 30)
