"""What others read of an export is what was exported, in row groups of bounded size."""

import io
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.model import Report
from tests.appliance.telemetry.reports import NOON, exact, report, reports

pytest.importorskip("pyarrow", reason="pyarrow, which writes Parquet, is not installed")

import pyarrow as pa
from pyarrow import parquet as others

from appliance.instant import DAY_MS
from appliance.telemetry.cold import table
from appliance.telemetry.cold.worker.parquet import FIELDS, GROUP_ROWS
from appliance.telemetry.exporting.program import sheet as sheets
from appliance.telemetry.exporting.program.sheet import GROUP_CHARACTERS, Bins, Readings
from appliance.telemetry.tables.handed import NO_TENANT, Bin, InUnits, OfBins, OfReadings

DETAILED = OfReadings(is_detailed=True)


def written(found: list[Report], of: OfReadings = DETAILED) -> others.ParquetFile:
    sink = io.BytesIO()
    sheet = Readings(sink, of)
    for each in found:
        sheet.add(each)
    sheet.close()
    return others.ParquetFile(sink, page_checksum_verification=True)


def told(file: others.ParquetFile) -> list[Report]:
    """The reports that the columns of a file tell of."""
    read = file.read()
    columns = {name: read[name].to_pylist() for name in read.schema.names}
    for name in ("at", "arrived_at"):
        columns[name] = read[name].cast(pa.int64()).to_pylist()
    return table.reports_of({"tenant_id": [NO_TENANT] * read.num_rows} | columns)


@given(st.lists(reports(st.sampled_from("ab")), max_size=12))
def test_reports_come_back_as_they_were(found: list[Report]) -> None:
    found = [each for each in sorted(found, key=lambda each: (each.device_id, each.at)) if each.values]
    anybodys = [Report(NO_TENANT, *(getattr(each, name) for name in Report.__struct_fields__[1:])) for each in found]
    assert list(map(exact, told(written(found)))) == list(map(exact, anybodys))


def test_each_reading_has_the_unit_of_its_device() -> None:
    sink = io.BytesIO()
    sheet = Readings(sink, OfReadings(is_detailed=False))
    for device_id, unit in (("a", "kPa"), ("b", ""), ("c", "bar"), ("c", "Pa")):
        if unit:
            sheet.begin(InUnits(device_id, {"pressure": unit}))
        sheet.add(report(device_id, NOON, values={"pressure": 1.5, "mode": "auto"}))
    sheet.close()
    rows = others.ParquetFile(sink).read().to_pylist()
    assert [row["unit"] for row in rows if row["metric"] == "pressure"] == ["kPa", None, "bar", "Pa"]
    assert {row["unit"] for row in rows if row["metric"] == "mode"} == {None}


def test_columns_are_those_of_the_cold_tier() -> None:
    found = [report("a", NOON + day * DAY_MS) for day in range(2)]
    schema = written(found).schema_arrow
    names = [name for name in table.NAMES if name != "tenant_id"]
    assert [name for name in schema.names if name != "unit"] == names
    assert schema.names[schema.names.index("metric") + 1] == "unit"
    assert {name: schema.field(name).type for name in names if name != "report"} == {
        name: FIELDS[name] for name in names if name != "report"
    }
    few = written(found, OfReadings(is_detailed=False))
    assert set(names) - set(few.schema_arrow.names) == {"arrived_at", "time_source", "topic", "client_id"}
    assert few.read(["report"]).to_pydict() == {"report": [0, 0, 1, 1]}


def test_row_groups_are_bounded_in_rows() -> None:
    found = [report("a", NOON + step) for step in range(GROUP_ROWS)]
    metadata = written(found).metadata
    assert metadata.num_rows == 2 * GROUP_ROWS
    assert {metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)} == {GROUP_ROWS}


def test_row_groups_of_many_devices_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "GROUP_ROWS", 100)
    metadata = written([report(f"{number:04}", NOON) for number in range(500)]).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [100] * 10


def test_row_groups_are_bounded_in_text() -> None:
    size = GROUP_CHARACTERS // 10
    metadata = written([report("a", NOON + step, values={"x": "y" * size}) for step in range(25)]).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [10, 10, 5]


def test_bins_are_numbers_by_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "GROUP_CELLS", 8)
    sink = io.BytesIO()
    sheet = Bins(sink, OfBins("zone", ("avg(x)", "count(x)")))
    for row in [(None, 0), (1, 2), (float("nan"), 3), (-0.5, None)]:
        sheet.add(Bin(NOON, "north", row))
    sheet.close()
    file = others.ParquetFile(sink)
    assert file.schema_arrow.types == [pa.timestamp("ms", tz="UTC"), pa.string(), pa.float64(), pa.int64()]
    read = file.read().to_pydict()
    assert read["zone"] == ["north"] * 4
    assert read["count(x)"] == [0, 2, 3, None]
    assert (read["avg(x)"][:2], read["avg(x)"][3]) == ([None, 1.0], -0.5)
    assert isnan(read["avg(x)"][2])
    assert file.metadata.num_row_groups == 2


def test_bins_of_all_have_no_key() -> None:
    sink = io.BytesIO()
    sheet = Bins(sink, OfBins("", ("max(x)",)))
    sheet.add(Bin(NOON, "all", (1.5,)))
    sheet.close()
    assert others.ParquetFile(sink).schema_arrow.names == ["at", "max(x)"]
