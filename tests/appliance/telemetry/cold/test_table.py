"""Reports become rows and come back, exactly."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.telemetry.cold import table
from appliance.telemetry.cold.table import Kind, cells_of, distinct, escaped, unescaped, value_of
from appliance.telemetry.model import Report
from appliance.telemetry.rows import identity_of
from tests.appliance.telemetry.reports import NOON, exact, report, reports, values

any_text = st.text(st.characters(), max_size=8)
of_one_device = st.lists(reports(devices=st.just("a")), max_size=12)


@settings(max_examples=60, deadline=None)
@given(of_one_device, st.integers(0, 1000))
def test_reports_with_readings_come_back_as_they_were(written: list[Report], first: int) -> None:
    columns = table.empty()
    kept = [each for each in written if each.values]
    assert table.add(columns, written, first) == first + len(kept)
    assert {len(column) for column in columns.values()} == {sum(len(each.values) for each in written)}
    assert list(map(exact, table.reports_of(columns))) == list(map(exact, kept))


@given(values | any_text | st.integers(-(10**400), 10**400))
def test_every_value_comes_back_and_numbers_can_be_counted_with(value: float | bool | str | None) -> None:
    cells = cells_of(value)
    assert repr(value_of(cells)) == repr(value)
    assert type(value_of(cells)) is type(value)
    if type(value) in (int, float) and cells[1] is not None and not math.isnan(cells[1]):
        assert cells[1] == float(value or 0)


@given(any_text | st.just("\0x"))
def test_every_name_comes_back_and_stands_as_unicode(name: str) -> None:
    written = escaped(name)
    assert written.encode().decode() == written
    assert unescaped(written) == name


def test_a_plain_name_stands_as_it_is() -> None:
    assert escaped("Druck, bär") == "Druck, bär"


def test_what_no_column_holds_stands_as_json() -> None:
    assert cells_of(1 << 70)[0] is Kind.JSON
    assert cells_of("\ud800")[0] is Kind.JSON
    assert cells_of((1 << 63) - 1)[:3] == (Kind.INTEGER, float(1 << 63), (1 << 63) - 1)
    assert cells_of(10**400)[1] is None


@given(st.lists(reports(devices=st.just("a"), moments=st.integers(NOON, NOON + 2)), max_size=10))
def test_of_what_was_delivered_twice_the_first_is_kept(received: list[Report]) -> None:
    kept = distinct([*received, *received])
    assert [identity_of(each) for each in kept] == sorted(
        dict.fromkeys(map(identity_of, received)), key=lambda identity: identity[0]
    )
    assert all(any(each is one for one in received) for each in kept)


def test_reports_of_one_moment_stay_in_their_order() -> None:
    first, second = report(values={"n": 2}), report(values={"n": 1})
    assert distinct([first, second, first]) == [first, second]
