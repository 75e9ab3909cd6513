"""Reports that are kept in columns are the reports that were put in, one by one and all at once."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.telemetry import log_record, naming
from appliance.telemetry.model import Report
from appliance.telemetry.sheaf import Group, Sheaf
from tests.appliance.telemetry.reports import NOON, exact, report, reports

alike = st.builds(
    lambda names, value, sequence: report(values=dict.fromkeys(names, value), sequence=sequence),
    st.sampled_from([("a", "b"), ("a", "b"), ("b", "a"), ("a",), ()]),
    st.sampled_from([0.5, -0.0, float("nan"), 7, True, None, "text", 2**63 - 1, -(2**63), 2**63]),
    st.sampled_from([None, 0, 5, 2**63 - 1, 2**63]),
)
many = st.lists(reports() | alike, max_size=12)


def told(sheaf: Sequence[Report]) -> list[Any]:
    return list(map(exact, sheaf))


@given(many)
def test_reports_come_out_as_they_went_in(written: list[Report]) -> None:
    sheaf = Sheaf(1, written)
    assert told(sheaf) == told(written)
    assert len(sheaf) == len(written)
    assert [exact(sheaf[place]) for place in range(len(sheaf))] == told(written)
    assert told(sheaf[1:3]) == told(written[1:3])
    assert [exact(sheaf.report(place, row)) for place, row in enumerate(sheaf.rows())] == told(written)
    columns = (sheaf.device_ids, sheaf.time_sources, sheaf.at(), sheaf.arrived_at(), sheaf.sequences())
    names = ("device_id", "time_source", "at", "arrived_at", "sequence")
    assert [list(column) for column in columns] == [list(map(attrgetter(name), written)) for name in names]
    assert naming.absolute_all(sheaf.topics, sheaf.device_ids) == [one.topic for one in written]
    assert naming.absolute_all(sheaf.client_ids, sheaf.device_ids) == [one.client_id for one in written]
    assert sheaf.value_count == sum(len(one.values) for one in written)


@given(many)
def test_the_columns_of_all_that_name_the_same_metrics_are_theirs(written: list[Report]) -> None:
    shapes, numbers = Sheaf(1, written).shapes()
    named = list(dict.fromkeys(tuple(one.values) for one in written))
    assert list(shapes) == named
    assert [named[number] for number in numbers] == [tuple(one.values) for one in written]
    for names, columns in shapes.items():
        same = [one for one in written if tuple(one.values) == names]
        assert repr(list(map(list, columns))) == repr([[one.values[name] for one in same] for name in names])


@settings(deadline=None)
@given(many)
def test_the_log_holds_what_it_would_hold_of_each_for_itself(written: list[Report]) -> None:
    record = log_record.encode(Sheaf(1, written))
    assert told(log_record.decode(record, 1)) == told(written)
    plain = [report(f"d{place}", one.at, values=one.values) for place, one in enumerate(written)]
    assert log_record.encode(Sheaf(1, plain)) == log_record.encode(plain)


@given(many, many)
def test_a_sheaf_that_takes_another_is_that_of_both(first: list[Report], second: list[Report]) -> None:
    sheaf, more = Sheaf(1, first), Sheaf(1, second)
    sheaf.extend(more)
    assert told(sheaf) == told([*first, *second])
    assert repr(sheaf.shapes()) == repr(Sheaf(1, [*first, *second]).shapes())
    assert told(more) == told(second)
    sheaf.append(report(values={"a": 0.5}))
    assert told(sheaf[-1:]) == told([report(values={"a": 0.5})])
    assert told(more) == told(second)


def test_numbers_are_packed_and_the_rest_is_not() -> None:
    def is_packed(**changes: Any) -> bool:
        [group] = Sheaf(1, [report(**changes)]).groups
        return isinstance(group, Group)

    assert is_packed(values={"a": 0.5, "b": 1, "c": True})
    assert not any(is_packed(values={"a": value}) for value in ("text", None, 2**63))
    assert not is_packed(values={f"m{number}": 1 for number in range(65)})
    assert not is_packed(sequence=2**63)
    sheaf = Sheaf(1, [report(), report(at=NOON + 1, values={"pressure": "?"})])
    assert sheaf.packed_bytes == 5 * 8


def test_sheaves_are_the_same_when_their_reports_are() -> None:
    assert Sheaf(1, [report()]) == Sheaf(1, [report()])
    assert Sheaf(1, [report()]) != Sheaf(1, [report(at=NOON + 1)])
    assert Sheaf(1, [report()]) != [report()]
    with pytest.raises(TypeError):
        hash(Sheaf(1))
