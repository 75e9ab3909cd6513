import csv
import io
import json
from math import inf, nan
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.instant import DAY_MS, HOUR_MS, day_of, to_text
from appliance.registry.catalogue.model import DeviceChange, DeviceType
from appliance.telemetry.cold.table import value_of
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.tables.layout import as_json
from tests.appliance.telemetry.cold.rig import needs_pyarrow
from tests.appliance.telemetry.exporting.programs import read, without_pyarrow
from tests.appliance.telemetry.kept import kept
from tests.web import house as houses
from tests.web.house import Client, House
from tests.web.retention import let_go
from web.lacking import COARSE_DAYS, DAMAGED_DAYS
from web.shell import moment

NOW = moment() // DAY_MS * DAY_MS - 3 * DAY_MS
VALUES: dict[str, Any] = {
    "flow": -0.0,
    "count": 2**53 + 1,
    "text": "=HYPERLINK(1)",
    "number in quotes": "5.0",
    "lines": 'a "b"\r\nc',
    "on": True,
    "nothing": None,
    "gone": nan,
    "most": -inf,
    "gps.latitude": 52.5,
    "time": "a reserved word",
}


def report(device_id: str, at: int, values: dict[str, Any], sequence: int | None = None) -> Report:
    topic = f"sensors/{device_id}/telemetry"
    return Report(1, device_id, at, at + 40, TimeSource.DEVICE, topic, device_id, values, sequence)


async def filled(house: House) -> None:
    await house.add_device("a", zone="north")
    await house.add_device("b", zone="south")
    found = [report("a", NOW + number * 1_000, {"flow": number / 10, "count": number}, number) for number in range(50)]
    found += [
        report("b", NOW, VALUES),
        report("b", NOW, {"flow": 1}),
        report("b", NOW + DAY_MS, {"more": None, "x": "null"}),
    ]
    await house.gateway.ingestion.bring(found)
    await house.gateway.telemetry.seal_all()
    await house.gateway.ingestion.bring([report("a", NOW + HOUR_MS, {"late": 1}), report("a", NOW, {"flow": 7})])


async def stored(house: House, device_id: str) -> list[tuple[Any, ...]]:
    """Everything that is kept of a device; NaN as its text, for it is not equal to itself."""
    found = await kept(house.gateway.telemetry, device_id, 0, NOW + 30 * DAY_MS)
    return [
        (each.at, each.sequence, sorted((name, repr(value)) for name, value in each.values.items())) for each in found
    ]


async def exported(script: Client, **parameters: str) -> httpx.Response:
    answer = await script.get("/v1/telemetry/export", params={"start": str(NOW - DAY_MS), **parameters})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("form", ["csv", "long"])
@pytest.mark.parametrize("details", ["false", "true"])
async def test_what_is_exported_and_imported_elsewhere_is_the_same(
    form: str, details: str, script: Client, house: House, tmp_path: Path
) -> None:
    await filled(house)
    text = (await exported(script, format=form, details=details)).text
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    async with houses.opened(elsewhere) as other:
        await other.add_device("a")
        await other.add_device("b")
        async with Client(houses.app_of(other)) as client:
            client.headers["authorization"] = f"Bearer {await other.gateway.accounts.add_token(1, 'test')}"
            for taken in (True, False):
                answer = await client.post("/v1/telemetry/imports", json={"csv": text})
                told = answer.json()
                assert answer.status_code == 200, told
                assert told["refused_count"] == 0, told["refused"]
                assert bool(told["reading_count"]) is taken
                assert (told["duplicate_count"] > 0) is not taken
        for device_id in ("a", "b"):
            assert await stored(other, device_id) == await stored(house, device_id)


async def in_units(house: House) -> None:
    """Of both devices some metrics have units, declared or by type, and not the same ones."""
    await filled(house)
    await house.gateway.catalogue.add_type(1, DeviceType("pump", units={"flow": "l/s"}))
    await house.gateway.catalogue.change_device(1, "a", DeviceChange(type="pump"))
    readings = {"flow": {"value": 2.5, "unit": "l/min"}, "unit": {"value": 1, "unit": "µm"}, "x": 0.5}
    await house.send("b", {"readings": readings}, at=NOW + 2 * DAY_MS)


async def test_every_reading_of_the_long_form_has_its_unit(script: Client, house: House) -> None:
    await in_units(house)
    found = list(csv.DictReader(io.StringIO((await exported(script, format="long")).text)))
    units = {(row["device_id"], row["metric"], row["unit"]) for row in found}
    assert {each for each in units if each[2]} == {("a", "flow", "l/s"), ("b", "flow", "l/min"), ("b", "unit", "µm")}
    answer = await script.post("/v1/telemetry/imports", json={"csv": (await exported(script, format="long")).text})
    assert (answer.json()["refused_count"], answer.json()["reading_count"]) == (0, 0)


async def test_a_metric_may_be_named_as_the_column_of_units(script: Client, house: House) -> None:
    await in_units(house)
    text = (await exported(script, select="unit")).text
    assert text.splitlines() == ["device_id,at,sequence,unit,more", f"b,{to_text(NOW + 2 * DAY_MS)},,1,"]
    again = "device_id,at,unit\r\nb,2026-01-01T00:00:00Z,7\r\n"
    answer = await script.post("/v1/telemetry/imports", json={"csv": again})
    assert answer.json()["reading_count"] == 1


async def test_json_with_details_tells_units(script: Client, house: House) -> None:
    await in_units(house)
    array = (await exported(script, format="json", details="true")).json()
    assert array[-1]["units"] == {"flow": "l/min", "unit": "µm"}
    assert {json.dumps(each.get("units")) for each in array if each["device_id"] == "a"} == {'{"flow": "l/s"}', "null"}
    assert "units" not in (await exported(script, format="jsonl")).text


@needs_pyarrow
async def test_parquet_tells_units_of_readings_and_of_bins(script: Client, house: House) -> None:
    await in_units(house)
    rows = read((await exported(script, format="parquet")).content).to_pylist()
    units = {(row["device_id"], row["metric"], row["unit"]) for row in rows if row["unit"] is not None}
    assert units == {("a", "flow", "l/s"), ("b", "flow", "l/min"), ("b", "unit", "µm")}
    question = {"format": "parquet", "bin": "1h", "select": "avg(flow),max(unit),count(unit),avg(x)"}
    for zone, expected in (("", [None, "µm", None, None]), ("south", ["l/min", "µm", None, None])):
        schema = read((await exported(script, **question, zone=zone)).content).schema
        told = [(schema.field(number + 2).metadata or {}).get(b"unit") for number in range(4)]
        assert [unit and unit.decode() for unit in told] == expected


async def test_json_says_every_value_as_json_can(script: Client, house: House) -> None:
    await filled(house)
    array = (await exported(script, format="json")).json()
    lines = (await exported(script, format="jsonl")).text.splitlines()
    assert array == [json.loads(line) for line in lines]
    assert len(array) == 55
    [told] = [each["values"] for each in array if each["device_id"] == "b" and "most" in each["values"]]
    assert (told["gone"], told["most"], told["nothing"], told["count"]) == ("NaN", "-Infinity", None, 2**53 + 1)


def objects_of(file: bytes) -> list[dict[str, Any]]:
    """What the JSON of the same question says, made of what others read of a file."""
    rows = read(file).to_pylist()
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        told = found.setdefault((row["device_id"], row["report"]), {"device_id": row["device_id"]})
        told["at"] = to_text(int(row["at"].timestamp() * 1_000))
        if row["sequence"] is not None:
            told["sequence"] = row["sequence"]
        if "topic" in row:
            told["arrived_at"] = to_text(int(row["arrived_at"].timestamp() * 1_000))
            told["time_source"] = row["time_source"]
            told["topic"], told["client_id"] = row["topic"], row["client_id"]
        cells = tuple(row[name] for name in ("kind", "number", "integer", "boolean", "text"))
        told.setdefault("values", {})[row["metric"]] = as_json(value_of(cells))
    return list(found.values())


@needs_pyarrow
@pytest.mark.parametrize(
    "question", [{}, {"details": "true"}, {"zone": "south"}, {"select": "flow,count"}, {"end": str(NOW + 1_000)}]
)
async def test_parquet_says_what_json_says(question: dict[str, str], script: Client, house: House) -> None:
    await filled(house)
    answer = await exported(script, format="parquet", **question)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["content-disposition"].endswith('.parquet"')
    array = (await exported(script, format="json", **question)).json()
    assert array
    assert repr(objects_of(answer.content)) == repr(array)


@needs_pyarrow
@pytest.mark.parametrize("by", ["device", "zone", "all"])
async def test_bins_as_parquet_are_what_json_says(by: str, script: Client, house: House) -> None:
    await filled(house)
    question = {
        "bin": "7s",
        "select": "avg(flow),count(flow),max(count),p95(flow)",
        "by": by,
        "fill": "null",
        "end": str(NOW + DAY_MS),
    }
    table = read((await exported(script, format="parquet", **question)).content)
    rows = [{**row, "at": to_text(int(row["at"].timestamp() * 1_000))} for row in table.to_pylist()]
    array = (await exported(script, format="json", **question)).json()
    assert len(rows) > 1_000
    assert rows == array


@needs_pyarrow
async def test_parquet_of_nothing_is_a_whole_file(script: Client) -> None:
    answer = await exported(script, format="parquet")
    assert objects_of(answer.content) == []


async def test_without_pyarrow_parquet_is_refused_with_what_to_install(
    script: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pyarrow(monkeypatch)
    answer = await script.get("/v1/telemetry/export?format=parquet")
    assert (answer.status_code, answer.json()["code"]) == (400, "no_pyarrow")
    assert "pip install 'headworks[cold]'" in answer.json()["detail"]


async def test_a_table_has_no_formula_in_it(script: Client, house: House) -> None:
    await filled(house)
    answer = await exported(script, device="b")
    assert "'=HYPERLINK" in answer.text
    assert answer.headers["content-disposition"].startswith('attachment; filename="readings-')


async def test_only_what_is_asked_for_is_written(script: Client, house: House) -> None:
    await filled(house)
    lines = (await exported(script, zone="north", select="flow", end=str(NOW + 1_000))).text.splitlines()
    assert lines == [
        "device_id,at,sequence,flow,more",
        f"a,{to_text(NOW)},0,0.0,",
        f"a,{to_text(NOW)},,7,",
    ]


async def test_bins_are_written_however_many(script: Client, house: House) -> None:
    await filled(house)
    answer = await exported(script, bin="10s", select="avg(flow)", device="a", format="csv")
    assert answer.text.splitlines()[:2] == ["at,device_id,avg(flow)", f"{to_text(NOW)},a,1.0454545454545454"]
    rows = (await exported(script, bin="1m", select="count(flow)", by="zone", fill="zero", format="json")).json()
    assert len(rows) >= 2 * 4 * 1440
    assert sum(row["count(flow)"] for row in rows) == 53
    assert rows == sorted(rows, key=lambda row: (row["at"], row["zone"]))


@pytest.mark.parametrize(
    "query",
    [
        "format=xml",
        "select=avg(flow)",
        "bin=1h",
        "bin=1h&select=flow",
        "bin=1h&select=avg(flow)&fill=linear",
        "bin=1h&select=avg(flow)&format=long",
        "select=avg(flow)&format=parquet",
        "by=zone",
        "start=2026-01-02&end=2026-01-01",
        "colour=red",
    ],
)
async def test_what_cannot_be_written_is_refused_before_anything_is_sent(query: str, script: Client) -> None:
    answer = await script.get(f"/v1/telemetry/export?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]


async def test_an_export_of_nothing_is_a_whole_table(script: Client, house: House) -> None:
    assert (await exported(script)).text == "device_id,at,sequence,more\r\n"
    assert (await exported(script, format="json")).json() == []
    assert (await exported(script, format="jsonl")).text == ""
    await house.add_device("a")
    assert (await exported(script, format="json")).json() == []
    assert house.gateway.exporting.count == 0


async def test_a_table_of_others_is_taken_and_its_faults_are_told_by_line(script: Client, house: House) -> None:
    await house.add_device("a")
    table = (
        "time;flow;note\n"
        f"{NOW // 1000};1.5;a text\n"
        "never;1;\n"
        f"{NOW + 1};;\n"
        f"{to_text(NOW + 2)};1e999;\n"
        f"{to_text(moment() + HOUR_MS)};1;\n"
    )
    for path, reading_count in (("?dry_run=true", 2), ("", 2)):
        answer = await script.post(f"/v1/telemetry/imports{path}", json={"csv": table, "device_id": "a"})
        told = answer.json()
        assert answer.status_code == 200, told
        assert (told["row_count"], told["reading_count"], told["refused_count"]) == (5, reading_count, 3)
        assert [each["line"] for each in told["refused"]] == [3, 5, 6]
    assert await stored(house, "a") == [(NOW, None, [("flow", "1.5"), ("note", "'a text'")])]
    [entry] = await house.gateway.registry.audit.entries(1, limit=1)
    assert (entry.action, entry.subject, entry.actor) == ("telemetry.import", "a", "token:test")
    unknown = await script.post("/v1/telemetry/imports", json={"csv": "device_id,at,x\nnobody,0,1\n"})
    assert "no device 'nobody'" in unknown.json()["refused"][0]["reason"]


@pytest.mark.parametrize("table", ["", "a,b\n1,2\n", "device_id,at\na,0\n", "device_id,at,metric\n", "at,x\n0,1\n"])
async def test_what_is_no_table_of_readings_is_refused(table: str, script: Client) -> None:
    answer = await script.post("/v1/telemetry/imports", json={"csv": table})
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "invalid_readings"


async def test_headers_and_the_name_of_the_file_say_what_it_lacks(script: Client, house: House) -> None:
    await filled(house)
    path = f"/v1/telemetry/export?start={NOW}&end={NOW + 2 * DAY_MS}"

    async def told(asked: str) -> list[Any]:
        answer = await script.get(path + asked)
        assert answer.status_code == 200
        name = answer.headers["content-disposition"].split('"')[1]
        return [name.removeprefix(f"readings-{day_of(NOW)}"), *map(answer.headers.get, (DAMAGED_DAYS, COARSE_DAYS))]

    assert await told("") == [".csv", None, None]
    await let_go(house, NOW // DAY_MS)
    for form in ("csv", "long", "json", "jsonl"):
        assert await told(f"&format={form}") == [
            f"-incomplete.{'csv' if form == 'long' else form}",
            None,
            day_of(NOW),
        ]
    assert await told("&select=avg(flow)&bin=1h") == [".csv", None, None]
    assert await told("&select=avg(flow)&bin=5m") == ["-incomplete.csv", None, day_of(NOW)]
    house.gateway.telemetry.day_files.note_damage("a chunk", NOW // DAY_MS + 1)
    assert await told("") == ["-incomplete.csv", day_of(NOW + DAY_MS), day_of(NOW)]
