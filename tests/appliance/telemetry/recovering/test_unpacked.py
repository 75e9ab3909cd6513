"""What a record is unpacked to is what it tells report by report, and nothing but a record is taken for one."""

import math
from array import array
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import log_record, naming
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.packing import ChunkError, deflate, inflate
from appliance.telemetry.recovering.unpacked import Known, Unpacked, unpack
from appliance.telemetry.scaled import Scaled
from tests.appliance.telemetry.reports import NOON, exact, report, reports

every = st.lists(reports(moments=st.integers(0, 2**62)) | st.builds(report, st.sampled_from("ab"), st.just(NOON)))


def reports_of(found: Unpacked) -> list[Report]:
    """The plain way."""
    count = len(found.devices)
    heads: Any = (found.origins, found.lags, found.sequences)
    origins, lags, sequences = (list(each) * (count if len(each) == 1 else 1) for each in heads)
    columns: list[Iterator[tuple[Any, ...]]] = [
        iter(list(zip(*shape.columns, strict=True)) or [()] * count) for shape in found.shapes
    ]
    told = []
    for row, (topic, client_id, source) in enumerate(origins):
        device_id = found.devices[row].decode("utf-8", "surrogatepass")
        number = found.shape_numbers[row]
        values = dict(zip(found.shapes[number].metrics, next(columns[number]), strict=True))
        names = (naming.absolute(topic, device_id), naming.absolute(client_id, device_id))
        moments = (found.at[row], found.at[row] + lags[row])
        sequence: Any = sequences[row]
        told.append(Report(1, device_id, *moments, TimeSource(source), *names, values, sequence))
    return told


def told(found: Unpacked) -> str:
    """All of it, however values are kept."""
    shapes = [
        (metrics, [column.doubles() if isinstance(column, Scaled) else column for column in columns])
        for metrics, columns in found.shapes
    ]
    return repr((found._replace(shapes=()), shapes))


@given(every)
def test_nothing_is_lost_or_changed(sent: list[Report]) -> None:
    assert list(map(exact, reports_of(unpack(log_record.encode(sent), Known())))) == list(map(exact, sent))


@given(st.lists(every, max_size=6))
def test_what_is_known_of_other_records_changes_nothing(records: list[list[Report]]) -> None:
    known = Known()
    for sent in records:
        assert told(unpack(log_record.encode(sent), known)) == told(unpack(log_record.encode(sent), Known()))


@pytest.mark.parametrize("changes", [{"topic": "other"}, {"client_id": "other"}, {"topic": "x" * 2_000}])
def test_other_names_than_those_before_are_read(changes: dict[str, Any]) -> None:
    known = Known()
    for sent in [report("a")], [report("a", **changes)], [report("a")], [report("a"), report("b", **changes)]:
        assert reports_of(unpack(log_record.encode(sent), known)) == sent
        assert all(len(names.written) < 1_100 for names in known.names.values())


def test_numbers_of_one_kind_are_arrays() -> None:
    found = unpack(
        log_record.encode(
            [
                report(f"device-{number}", NOON + number**2, sequence=number, values={"a": number / 8, "b": number % 3})
                for number in range(300)
            ]
        ),
        Known(),
    )
    fractions, wholes = found.shapes[0].columns
    assert isinstance(fractions, Scaled)
    assert isinstance(wholes, array)
    assert isinstance(found.sequences, array)
    assert len(found.origins) == 1


@given(every, st.data())
def test_damaged_bytes_raise_what_says_so_and_nothing_else(sent: list[Report], data: st.DataObject) -> None:
    raw = bytearray(inflate(log_record.encode(sent)[1:]))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    record = bytes((log_record.VERSION,)) + deflate(raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))])
    known = Known()
    unpack(log_record.encode(sent), known)
    try:
        found = unpack(record, known)
    except ChunkError:
        return
    assert len(found.devices) == len(found.at)
    assert {len(found.lags), len(found.sequences)} <= {1, len(found.at)}
    assert told(found) == told(unpack(record, Known()))


def test_another_version_is_refused() -> None:
    with pytest.raises(ChunkError, match="version 02"):
        unpack(b"\2" + log_record.encode([report()])[1:], Known())
    with pytest.raises(ChunkError, match="version"):
        unpack(b"", Known())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at": 1 << 70}, "64 bits"),
        ({"at": (1 << 62) + 5, "arrived_at": 1 << 63}, "64 bits"),
        ({"at": 1.5}, "another kind"),
        ({"sequence": 1.5}, "another kind"),
        ({"sequence": "x"}, "another kind"),
        ({"time_source": 9}, "time source"),
    ],
)
def test_what_no_report_can_have_is_damage(changes: dict[str, Any], message: str) -> None:
    fields = {"arrived_at": NOON} | changes
    with pytest.raises(ChunkError, match=message):
        unpack(log_record.encode([report(**fields)]), Known())


def test_numbers_that_only_64_bits_hold_are_taken() -> None:
    greatest = (1 << 63) - 1
    [found] = reports_of(
        unpack(log_record.encode([report(at=greatest, arrived_at=greatest, sequence=greatest)]), Known())
    )
    assert (found.at, found.arrived_at, found.sequence) == (greatest,) * 3
    assert math.isclose(found.at, 2.0**63)
