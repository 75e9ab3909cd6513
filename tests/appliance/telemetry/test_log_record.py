"""A log record gives back the reports of its commit, exactly and in order, and costs little."""

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import log_record
from appliance.telemetry.column import MISSING, Cell, put_column
from appliance.telemetry.model import Report
from appliance.telemetry.packing import ChunkError, deflate, inflate, put_integers, put_text
from tests.appliance.telemetry.reports import NOON, exact, report, reports


@given(st.lists(reports(moments=st.integers(-(2**70), 2**70)), max_size=12))
def test_every_record_comes_back(written: list[Report]) -> None:
    read = log_record.decode(log_record.encode(written), tenant_id=1)
    assert list(map(exact, read)) == list(map(exact, written))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_chunk_error(source: bytes) -> None:
    for record in (source, b"\x01" + source):
        with pytest.raises(ChunkError):
            log_record.decode(record, tenant_id=1)


@given(st.lists(reports(), min_size=1, max_size=5), st.data())
def test_a_changed_record_raises_nothing_but_a_chunk_error(written: list[Report], data: st.DataObject) -> None:
    body = bytearray(inflate(log_record.encode(written)[1:]))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ChunkError):
        log_record.decode(b"\x01" + deflate(body), tenant_id=1)


def test_the_tenant_is_the_one_that_is_asked_for() -> None:
    (read,) = log_record.decode(log_record.encode([report()]), tenant_id=7)
    assert read.tenant_id == 7


def one_report(shape_number: int, cell: Cell) -> bytes:
    body = bytearray(b"\x01")
    columns: list[Cell] = ["a", "Lt", "Lc", NOON, 20, 0, None]
    for written in columns:
        put_column(body, [written])
    body.append(1)
    put_integers(body, [shape_number])
    body.append(1)
    put_text(body, "pressure")
    put_column(body, [cell] * (shape_number == 0))
    return b"\x01" + deflate(body)


def test_a_shape_that_is_not_there_is_damage() -> None:
    (read,) = log_record.decode(one_report(0, 1.5), 1)
    assert read.values == {"pressure": 1.5}
    with pytest.raises(ChunkError, match="shape"):
        log_record.decode(one_report(1, 1.5), 1)
    with pytest.raises(ChunkError, match="missing"):
        log_record.decode(one_report(0, MISSING), 1)


def test_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(ChunkError, match="version 02"):
        log_record.decode(b"\x02", tenant_id=1)


def test_a_reading_of_an_ordinary_commit_costs_at_most_six_bytes() -> None:
    chance = random.Random(1)  # noqa: S311  numbers like those of a sensor, no secrets
    written = []
    for number in chance.sample(range(1000), 200):
        at = NOON + chance.randrange(100)
        values = {
            "flowRate": round(chance.gauss(120, 8), 1),
            "pressure": round(chance.gauss(45, 4), 1),
            "temperature": round(chance.gauss(18, 3), 1),
            "batteryLevel": chance.randrange(60, 100),
            "signalStrength": chance.randrange(-90, -40),
        }
        written.append(report(f"sensor-{number:03}", at, arrived_at=at + chance.randrange(2, 60), values=values))
    assert len(log_record.encode(written)) / 1000 <= 6
