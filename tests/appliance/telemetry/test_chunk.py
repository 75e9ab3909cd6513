"""A chunk gives back its reports exactly, and damage is always noticed."""

import contextlib
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.telemetry import chunk
from appliance.telemetry.model import Report
from appliance.telemetry.packing import ChunkError, deflate, inflate, put_signed, put_text
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import NOON, exact, report, reports

of_one_device = st.lists(reports(devices=st.just("a") | st.just("")), min_size=1, max_size=12).filter(
    lambda written: len({each.device_id for each in written}) == 1
)


@settings(max_examples=40, deadline=None)
@given(of_one_device, st.integers(0, 2**60))
def test_every_chunk_comes_back(written: list[Report], log_id: int) -> None:
    blob = chunk.encode(Rows.of(written, log_id))
    assert list(map(exact, chunk.decode(blob).reports())) == list(map(exact, written))
    moments = [each.at for each in written]
    assert chunk.header(blob) == (len(written), min(moments), max(moments), log_id)


@settings(max_examples=40, deadline=None)
@given(of_one_device, st.data())
def test_any_changed_byte_is_noticed(written: list[Report], data: st.DataObject) -> None:
    blob = bytearray(chunk.encode(Rows.of(written, 1)))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ChunkError):
        chunk.decode(bytes(blob))


@settings(max_examples=40, deadline=None)
@given(of_one_device, st.data())
def test_any_missing_end_is_noticed(written: list[Report], data: st.DataObject) -> None:
    blob = chunk.encode(Rows.of(written, 1))
    with pytest.raises(ChunkError):
        chunk.decode(blob[: data.draw(st.integers(0, len(blob) - 1))])


@settings(max_examples=40, deadline=None)
@given(of_one_device, st.data())
def test_bytes_that_match_their_checksum_raise_nothing_but_a_chunk_error(
    written: list[Report], data: st.DataObject
) -> None:
    blob = chunk.encode(Rows.of(written, 1))
    body = bytearray(inflate(blob[33:]))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    checked = blob[5:33] + deflate(body)
    with contextlib.suppress(ChunkError):
        chunk.decode(blob[:1] + struct.pack("<I", zlib.crc32(checked)) + checked)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_chunk_error(source: bytes) -> None:
    with pytest.raises(ChunkError):
        chunk.decode(source)


def test_a_chunk_says_whose_it_is() -> None:
    blob = chunk.encode(Rows.of([report("a")], 1))
    assert chunk.owner(blob) == (1, "a")
    with pytest.raises(ChunkError, match="checksum"):
        chunk.owner(blob[:-1] + bytes([blob[-1] ^ 1]))


def test_only_the_metrics_that_are_asked_for_are_unpacked() -> None:
    blob = chunk.encode(Rows.of([report(), report()], 1))
    assert set(chunk.decode(blob, ["pressure", "unknown"]).columns) == {"pressure"}


def checked(count: int, body: bytes) -> bytes:
    rest = struct.pack("<Iqqq", count, 0, 0, 0) + deflate(body)
    return b"\x01" + struct.pack("<I", zlib.crc32(rest)) + rest


def test_a_chunk_without_reports_cannot_be() -> None:
    with pytest.raises(ChunkError, match="0 reports"):
        chunk.decode(checked(0, b""))


def test_moments_of_more_than_64_bits_are_damage() -> None:
    body = bytearray()
    put_signed(body, 1)
    put_text(body, "a")
    body.append(0x10)
    put_signed(body, 1 << 62)
    put_signed(body, 1 << 62)
    with pytest.raises(ChunkError, match="64 bits"):
        chunk.decode(checked(3, bytes(body)))


def test_a_later_version_is_not_guessed_at() -> None:
    blob = chunk.encode(Rows.of([report()], 1))
    with pytest.raises(ChunkError, match="version 2"):
        chunk.decode(b"\x02" + blob[1:])


@pytest.mark.parametrize(("count", "limit"), [(120, 1.2), (720, 1.0)])
def test_a_sensor_like_reading_costs_about_one_byte(count: int, limit: float) -> None:
    chance = random.Random(1)  # noqa: S311  numbers like those of a sensor, no secrets
    levels = [120.0, 45.0, 18.0, 85.0, -65.0]
    written = []
    for row in range(count):
        levels = [round(level + chance.choice((-0.1, 0, 0.1)), 1) for level in levels]
        at = NOON + row * 5000 + chance.randrange(-100, 100)
        written.append(
            report(at=at, arrived_at=at + chance.randrange(2, 60), values=dict(zip("abcde", levels, strict=True)))
        )
    assert len(chunk.encode(Rows.of(written, 1))) / count / 5 <= limit


def test_a_reading_of_full_precision_costs_at_most_eight_bytes() -> None:
    chance = random.Random(1)  # noqa: S311  numbers like those of a sensor, no secrets
    written = [
        report(at=NOON + row * 5000, values={name: chance.gauss(100, 5) for name in "abcde"}) for row in range(720)
    ]
    assert len(chunk.encode(Rows.of(written, 1))) / 3600 <= 8
