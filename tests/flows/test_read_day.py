"""Day files are read without the gateway, by docs/reference/read_day.py alone: everything, exactly; damage is named."""

import asyncio
import contextlib
import json
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import read_day
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, from_text
from appliance.telemetry import chunk
from appliance.telemetry.exporting.model import Asked
from appliance.telemetry.exporting.request import wanted
from appliance.telemetry.exporting.service import Exporting
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.queries import DAY_PAGE_BYTES
from appliance.telemetry.rows import Rows, identity_of
from tests.appliance.telemetry.keeping.days import kept, piece, sealed
from tests.appliance.telemetry.keeping.story import AFTER, KeepingGateway
from tests.appliance.telemetry.promql.devices import device
from tests.appliance.telemetry.reports import DAY, NOON, exact, report, reports

FILE = Path(read_day.__file__)
CHANCE = random.Random(7)  # noqa: S311  no secret
"""Values that do not compress."""
DEVICES = ("pump-1", "gerät", "T")
FORMS: dict[str, Any] = {
    "null": None,
    "nan": float("nan"),
    "infinity": float("inf"),
    "-infinity": float("-inf"),
    "-0": -0.0,
    "whole": 2**53 + 1,
    "wide": -(2**80),
    "decimal": 45.2,
    "double": 1 / 3,
    "text": "NaN, ü and half a character: \ud800",
    "boolean": True,
    "gps.latitude": 52.5,
    "gps.longitude": 13.5,
}
"""A reading of each kind."""

moments = st.sampled_from([NOON, NOON + 1, NOON + HOUR_MS]) | st.integers(DAY * DAY_MS, (DAY + 1) * DAY_MS - 1)
some = st.lists(
    reports(devices=st.sampled_from(DEVICES), moments=moments).filter(lambda made: bool(made.values)), max_size=8
)
steps = st.lists(
    st.tuples(st.just("take"), some) | st.tuples(st.sampled_from(["again", "seal", "night"]), st.just([])),
    max_size=7,
)
every_form = [
    ("take", [report("pump-1", NOON, values=FORMS), report("pump-1", NOON + 1, values={"more": 1}, sequence=2**70)]),
    ("seal", []),
    ("night", []),
    ("take", [report("pump-1", NOON - 1, values={"null": 1}), report("pump-1", NOON, values=FORMS)]),
    ("again", []),
]
"""What came late, once more, and with other metrics."""


@settings(max_examples=15, deadline=None)
@given(steps)
@example(every_form)
def test_what_it_prints_is_what_an_export_of_the_same_files_gives(story: list[tuple[str, list[Report]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_live(Path(folder), story))


async def _live(folder: Path, story: Sequence[tuple[str, list[Report]]]) -> None:
    gateway = KeepingGateway(folder)
    gateway.now = AFTER + DAY_MS
    taken: list[Report] = []
    async with gateway.running():
        for kind, some_reports in story:
            if kind in ("take", "again"):
                # What comes once more comes later.
                again = [replace(each, arrived_at=each.arrived_at + 7) for each in taken]
                more = again if kind == "again" else some_reports
                await gateway.take(*more)
                taken = taken + more
            else:
                await (gateway.telemetry.seal_all() if kind == "seal" else gateway.seal())
        await gateway.telemetry.seal_all()
        exported = await _exported(gateway)
        # Of a gateway that runs, whose newest chunks lie in logs beside the files, and of one that does not.
        assert list(map(_as_exported, _printed(folder))) == exported
    lines = _printed(folder)
    assert list(map(_as_exported, lines)) == exported
    first = {(each.device_id, identity_of(each)): each for each in reversed(taken)}
    assert _sorted(map(_reported, lines)) == _sorted(first.values())


async def _exported(gateway: KeepingGateway) -> list[str]:
    asked = Asked(start=0, end=gateway.now, form="jsonl", is_detailed=True)
    what = wanted(1, asked, [device(name) for name in sorted(DEVICES)], lambda _: [])
    text = "".join([piece async for piece in Exporting(gateway.telemetry).pieces(what, (1, "ann"))])
    return text.splitlines()


def _sorted(some_reports: Iterable[Report]) -> list[tuple[Any, ...]]:
    return sorted(map(exact, some_reports), key=repr)


def _as_exported(line: str) -> str:
    """A line without what an export does not tell: whose it is, and what is no text."""
    said = json.loads(line)
    said.pop("not_finite", None)
    assert said.pop("tenant_id") == 1
    return json.dumps(said, separators=(",", ":"))


def _reported(line: str) -> Report:
    """What a line says, as it was sent."""
    said = json.loads(line)
    values = said["values"] | {name: float(said["values"][name]) for name in said.pop("not_finite", [])}
    times = {name: from_text(said[name]) for name in ("at", "arrived_at")}
    return Report(**said | times | {"values": values, "time_source": TimeSource[said["time_source"].upper()]})


def _printed(folder: Path) -> list[str]:
    """Everything of the days in a folder, if there are any."""
    found = sorted((folder / "days").glob("????-??-??.*"))
    return _lines_of(_run(*found)) if found else []


def _files(folder: Path) -> list[Path]:
    days = folder / "days"
    return sorted([*days.glob("*.sealed"), *days.glob("*.db")])


def _run(*arguments: str | Path, file: Path = FILE) -> subprocess.CompletedProcess[str]:
    """Without this project and without any package: only the standard library is there."""
    command = [sys.executable, "-I", "-S", file, *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=50)


def _lines_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@settings(deadline=None)
@given(st.lists(reports(devices=st.just("T\0"), moments=moments), min_size=1, max_size=12))
def test_a_chunk_gives_every_report_that_was_put_into_it(some_reports: list[Report]) -> None:
    found = read_day.decoded(chunk.encode(Rows.of(some_reports, 7)))
    told = [Report(**each._asdict() | {"time_source": TimeSource[each.time_source.upper()]}) for each in found]
    assert list(map(exact, told)) == list(map(exact, some_reports))


async def test_an_open_day_that_a_sealed_one_took_in_counts_no_more(tmp_path: Path) -> None:
    gateway = KeepingGateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("pump-1", values={"x": 1}), report("pump-2", values={"x": 2}))
        await gateway.telemetry.seal_all()
    [open_day] = _files(tmp_path)
    with contextlib.closing(sqlite3.connect(open_day)) as opened:
        (identity,) = opened.execute("PRAGMA application_id").fetchone()
    # Since it took the open day in, somebody was erased from it.
    sealed(open_day.parent, [kept([report("pump-1", values={"x": 1})])], identity + 1)
    assert len(_printed(tmp_path)) == 2
    sealed(open_day.parent, [kept([report("pump-1", values={"x": 1})])], identity)
    assert [json.loads(line)["device_id"] for line in _printed(tmp_path)] == ["pump-1"]


def test_what_still_lies_in_the_log_of_an_open_day_is_read(still_open: Path, tmp_path: Path) -> None:
    copy = tmp_path / still_open.name
    shutil.copy(still_open, copy)
    with contextlib.closing(sqlite3.connect(copy)) as opened:
        opened.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM chunk")
        opened.execute("DELETE FROM chunk")
        opened.commit()
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert _run(copy).stdout == ""
        opened.execute("INSERT INTO chunk SELECT * FROM kept")
        opened.commit()
        assert len(_lines_of(_run(copy))) == 60 * 40


def test_a_chunk_that_lies_in_the_place_of_another_is_named(tmp_path: Path) -> None:
    """It matches its own checksum, but it is of somebody else."""
    path = sealed(tmp_path, [kept([report("pump-1")])._replace(device_id="pump-2"), kept([report("pump-3")])])
    status, lines, told = _reports(path)
    assert (status, len(lines)) == (1, 1)
    assert told.endswith("cannot be read: another chunk lies there\n")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed day of some pages: three chunks of one device, and one of another."""
    folder = tmp_path_factory.mktemp("whole")
    rows = [
        report("pump-1", NOON + number * MINUTE_MS, values=FORMS | {"n": number, "m": CHANCE.random()})
        for number in range(600)
    ]
    pieces = [piece(rows[first : first + 200], 5 + first // 200) for first in range(0, 600, 200)]
    text = [report("gerät", NOON, values={"text": str(number) * 40}, sequence=number) for number in range(200)]
    return sealed(folder, [kept(rows, 7)._replace(pieces=pieces), kept(text, 9)])


def _reports(path: Path, *arguments: str) -> tuple[int, list[str], str]:
    done = _run(path, *arguments)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_what_is_asked_for_is_printed_alone(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "read.py"
    shutil.copy(FILE, copy)
    assert len(_lines_of(_run(whole, file=copy))) == 800
    lines = _lines_of(_run(whole, "--device", "pump-1", "--metric", "n", "--metric", "-0"))
    assert len(lines) == 600
    assert [json.loads(line)["values"] for line in lines[:2]] == [{"-0": -0.0, "n": 0}, {"-0": -0.0, "n": 1}]
    assert _lines_of(_run(whole, "--metric", "none")) == _lines_of(_run(whole, "--tenant", "2")) == []
    assert _lines_of(_run(whole, "--check")) == []


def test_any_flipped_byte_of_a_sealed_day_is_named_and_nothing_wrong_is_printed(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = whole.read_bytes()
    damaged = tmp_path / whole.name
    assert read_day.main([str(whole)]) == 0
    before = set(capsys.readouterr().out.splitlines())
    said = ""
    for place in [*range(0, len(content), 307), *range(64), len(content) - 1]:
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :])
        assert read_day.main([str(damaged)]) == 1
        told = capsys.readouterr()
        assert whole.name in told.err
        said += told.err
        assert set(told.out.splitlines()) <= before
        is_body = read_day.PAGE_BYTES <= place < len(content) - read_day.PAGE_BYTES * 3
        # What lies there twice costs nothing.
        assert is_body or set(told.out.splitlines()) == before
    for what in ("page 1 does", "page 0, a head,", "copy of the directory that begins on page", "the newest values of"):
        assert what in said


def test_pages_that_changed_places_are_named(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    size = read_day.PAGE_BYTES
    damaged = tmp_path / whole.name
    damaged.write_bytes(content[:size] + content[2 * size : 3 * size] + content[size : 2 * size] + content[3 * size :])
    status, lines, told = _reports(damaged)
    assert status == 1
    assert len(lines) < 800
    for page in (1, 2):
        assert f"page {page} does not match its checksum" in told
    assert "cannot be read: " in told


def test_a_damaged_chunk_is_named_with_what_is_lost(whole: Path, tmp_path: Path) -> None:
    content = bytearray(whole.read_bytes())
    content[read_day.PAGE_BYTES + 100] ^= 1
    damaged = tmp_path / whole.name
    damaged.write_bytes(content)
    status, lines, told = _reports(damaged)
    assert (status, len(lines)) == (1, 600)
    assert "2026-01-31.sealed: page 1 does not match its checksum" in told
    assert "200 reports of pump-1 from 2026-01-31T12:00:00.000Z to 2026-01-31T15:19:00.000Z cannot be read" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("at", [0, 1])
def test_a_version_that_is_not_known_is_refused(whole: Path, tmp_path: Path, at: int) -> None:
    content = bytearray(whole.read_bytes())
    path = tmp_path / whole.name
    if at:
        content[read_day.PAGE_BYTES] = 2
        expected = "a chunk of version 2 is not known, expected 1"
    else:
        head = struct.Struct("<8sHiqQQI")
        fields = list(head.unpack_from(content))
        fields[1] = 2
        packed = head.pack(*fields)
        page = (packed + struct.pack("<I", zlib.crc32(packed))).ljust(read_day.PAGE_BYTES, b"\0")
        content[: len(page)] = content[-len(page) :] = page
        expected = "a sealed day of version 2 is not known, expected 1"
    path.write_bytes(content)
    status, _, told = _reports(path)
    assert status == 1
    assert expected in told
    database = tmp_path / "2026-01-30.db"
    with contextlib.closing(sqlite3.connect(database)) as made:
        made.execute("PRAGMA user_version = 3")
    assert "version 3 is not known" in _reports(database)[2]


@pytest.mark.parametrize("content", [b"", b"HWDAY", b"SQLite format 3\0", bytes(20_000)])
@pytest.mark.parametrize("name", ["2026-01-31.sealed", "2026-01-31.db"])
def test_what_is_no_day_file_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    status, lines, told = _reports(path)
    assert (status, lines) == (1, [])
    assert told.startswith(name)
    assert "Traceback" not in told
    assert _run(tmp_path / "none.sealed").returncode == 1


@pytest.fixture(scope="module")
def still_open(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open day of some pages: 60 devices with a chunk each."""
    folder = tmp_path_factory.mktemp("open")
    asyncio.run(_left_open(folder))
    [path] = _files(folder)
    assert not list(path.parent.glob("*-wal"))
    return path


async def _left_open(folder: Path) -> None:
    gateway = KeepingGateway(folder)
    async with gateway.running():
        for number in range(60):
            values = [{metric: CHANCE.random() for metric in "abcde"} for _ in range(40)]
            rows = [report(f"pump-{number:02d}", NOON + at, values=said) for at, said in enumerate(values)]
            await gateway.take(*rows)
        await gateway.telemetry.seal_all()


def test_a_damaged_chunk_of_an_open_day_is_named_with_what_is_lost(still_open: Path, tmp_path: Path) -> None:
    content = still_open.read_bytes()
    with contextlib.closing(sqlite3.connect(f"{still_open.as_uri()}?mode=ro", uri=True)) as opened:
        (chunk_id, record) = opened.execute("SELECT chunk_id, record FROM chunk ORDER BY chunk_id").fetchone()
    device_id = read_day.owner(record)[1]
    place = content.index(record[:200]) + 100
    damaged = tmp_path / still_open.name
    damaged.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    status, lines, told = _reports(damaged)
    assert (status, len(lines)) == (1, 59 * 40)
    span = "from 2026-01-31T12:00:00.000Z to 2026-01-31T12:00:00.039Z"
    assert told.startswith(f"2026-01-31.db chunk {chunk_id}: 40 reports of {device_id} {span} cannot be read")
    assert told.count("\n") == 1


@pytest.mark.parametrize("spoiled", [bytes(DAY_PAGE_BYTES), b"\xff" * DAY_PAGE_BYTES])
def test_any_damaged_page_of_an_open_day_is_named_and_nothing_wrong_is_printed(
    still_open: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoiled: bytes
) -> None:
    content = still_open.read_bytes()
    damaged = tmp_path / still_open.name
    assert read_day.main([str(still_open)]) == 0
    before = set(capsys.readouterr().out.splitlines())
    kept = []
    for page in range(0, len(content), DAY_PAGE_BYTES):
        damaged.write_bytes(content[:page] + spoiled + content[page + DAY_PAGE_BYTES :])
        assert read_day.main([str(damaged)]) == 1
        told = capsys.readouterr()
        assert "2026-01-31.db" in told.err
        assert set(told.out.splitlines()) <= before
        kept.append(len(told.out.splitlines()))
    assert len(kept) > 10
    # What lies on one page costs the chunks on it, and not those behind it.
    assert sorted(kept)[len(kept) // 2] >= len(before) * 3 // 4


def test_a_flipped_byte_of_an_open_day_is_named_or_costs_nothing(
    still_open: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = still_open.read_bytes()
    damaged = tmp_path / still_open.name
    assert read_day.main([str(still_open)]) == 0
    before = set(capsys.readouterr().out.splitlines())
    named = 0
    for place in [*range(0, len(content), 2_003), *range(16, 100, 4)]:
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :])
        status = read_day.main([str(damaged)])
        found = set(capsys.readouterr().out.splitlines())
        # An open day has no checksums of pages: what nobody reads may be damaged.
        assert found <= before if status else found == before
        named += status
    assert named > 30


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.integers(1, 5))
def test_bytes_that_are_no_chunk_raise_nothing_else(body: bytes, count: int) -> None:
    owner = b"\x02\x01a"
    checked = struct.pack("<Iqqq", count, 0, 0, 0) + zlib.compress(owner + body)
    with contextlib.suppress(read_day.DamagedError):
        read_day.decoded(struct.pack("<BI", 1, zlib.crc32(checked)) + checked)
