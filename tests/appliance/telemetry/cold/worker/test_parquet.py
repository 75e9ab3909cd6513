"""A Parquet file gives back what was written, says when it was damaged, and others can read it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.telemetry.cold.model import Arrivals
from appliance.telemetry.model import Report
from tests.appliance.telemetry.reports import DAY, NOON, exact, report, reports

pytest.importorskip("pyarrow", reason="pyarrow, which writes Parquet, is not installed")

import pyarrow as pa
from pyarrow import parquet as others

from appliance.telemetry.cold.worker import parquet
from appliance.telemetry.cold.worker.parquet import EVER, File, Writer


def write(path: Path, *devices: list[Report]) -> None:
    with Writer(path) as writer:
        for received in devices:
            writer.add(received, 0)
            writer.end_device()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(written=st.lists(reports(devices=st.just("a")), max_size=12))
def test_reports_come_back_as_they_were(tmp_path: Path, written: list[Report]) -> None:
    path = tmp_path / "part.parquet"
    write(path, written)
    with File(path) as file:
        found = file.reports((1, "a"), *EVER)
    assert list(map(exact, found)) == [exact(each) for each in written if each.values]


days = st.integers(DAY * DAY_MS, (DAY + 1) * DAY_MS)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    written=st.lists(reports(devices=st.sampled_from("abc")), max_size=12),
    named=st.sets(st.sampled_from("abcd")),
    left_out=st.sets(st.tuples(st.integers(1, 2), st.sampled_from("abc")), max_size=2),
    moments=st.tuples(days, days),
    arrivals=st.tuples(st.integers(0, 2**42), st.integers(0, 2**42)),
    group_rows=st.integers(1, 9),
)
def test_what_arrived_in_a_span_is_found_however_it_lies_in_row_groups(
    tmp_path: Path,
    written: list[Report],
    named: set[str],
    left_out: set[tuple[int, str]],
    moments: tuple[int, int],
    arrivals: tuple[int, int],
    group_rows: int,
) -> None:
    path = tmp_path / "part.parquet"
    write(path, *[[each for each in written if each.device_id == name] for name in "abc"])
    others.write_table(others.read_table(path), path, row_group_size=group_rows)
    moments, arrivals = (min(moments), max(moments)), (min(arrivals), max(arrivals))
    asked = Arrivals(1, tuple(sorted(named)), moments, arrivals, 0)
    wanted = [
        each
        for each in sorted(written, key=lambda each: each.device_id)
        if each.values
        and moments[0] <= each.at < moments[1]
        and arrivals[0] <= each.arrived_at < arrivals[1]
        and (not named or each.device_id in named)
        and (1, each.device_id) not in left_out
    ]
    with File(path) as file:
        found = [each for some in file.arrived(asked, left_out) for each in some]
        assert [each for some in file.arrived(Arrivals(2, (), *2 * (EVER,), 0), ()) for each in some] == []
    assert list(map(exact, found)) == list(map(exact, wanted))


@pytest.mark.parametrize("has_statistics", [True, False])
def test_when_the_first_and_the_last_arrived_is_told_of_files_of_every_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_statistics: bool
) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 1)
    if not has_statistics:
        monkeypatch.setattr(parquet, "_STATISTICS", ("tenant_id", "device_id", "at"))
    path = tmp_path / "part.parquet"
    write(path, [report("a", arrived_at=NOON + 9 * DAY_MS)], [report("b", arrived_at=NOON + 7), report("b", NOON + 1)])
    with File(path) as file:
        assert file._file.num_row_groups == 2
        assert file.arrivals() == (NOON + 7, NOON + 9 * DAY_MS)


def test_a_device_and_a_span_are_found_in_any_row_group(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    names = ["a", "b", "ä", "日本"]
    write(path, *[[report(name, NOON + step) for step in range(30_000)] for name in names])
    with File(path) as file:
        assert file._file.num_row_groups == 4
        assert file.devices() == [(1, name) for name in names]
        for name in names:
            assert [each.at for each in file.reports((1, name), NOON + 7, NOON + 9)] == [NOON + 7, NOON + 8]
        assert file.reports((2, "a"), *EVER) == []
        assert file.reports((1, "c"), *EVER) == []


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write(path, [report("a", NOON + step) for step in range(1_000)])
    content = bytearray(path.read_bytes())
    column = others.read_metadata(path).row_group(0).column(5)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises((OSError, ValueError)), File(path) as file:
        file.reports((1, "a"), *EVER)


def test_of_a_file_that_is_doubted_what_can_be_read_is_given(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write(path, *[[report(name, NOON + step) for step in range(30_000)] for name in ("a", "b")])
    content = bytearray(path.read_bytes())
    column = others.read_metadata(path).row_group(0).column(5)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with File(path, is_doubted=True) as file:
        assert file.devices() == [(1, "b")]
        assert file.reports((1, "a"), *EVER) == []
        assert len(file.reports((1, "b"), *EVER)) == 30_000
        assert file.windows((1, "b")) == [EVER]
        assert file.lost_count == 1


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    others.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="other columns"):
        File(tmp_path / "other.parquet")


def test_others_read_numbers_as_numbers_and_moments_as_moments(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write(path, [report("a", values={"flow": 1.5, "count": 7, "open": True, "note": "ok", "none": None})])
    rows = others.read_table(path).to_pylist()
    assert [(row["metric"], row["kind"], row["number"], row["boolean"], row["text"]) for row in rows] == [
        ("flow", "float", 1.5, None, None),
        ("count", "integer", 7.0, None, None),
        ("open", "boolean", None, True, None),
        ("note", "text", None, None, "ok"),
        ("none", "null", None, None, None),
    ]
    assert rows[0]["at"].isoformat() == "2026-01-31T12:00:00+00:00"
    assert DAY * 86_400_000 < NOON
