import base64
import csv
from typing import Any

import msgspec
import pytest

from appliance.console_readings import Selected, calls, selected
from appliance.ingestion.importing.model import InvalidReadingsError
from appliance.instant import HOUR_MS
from appliance.registry.model import UnknownDeviceError
from appliance.telemetry.exporting.reports import STRETCH_REPORTS
from tests.appliance.telemetry.reports import NOON, report
from tests.web.conftest import house
from tests.web.house import House

__all__ = ["house"]

TABLE = "device_id,time,flow\na,2026-01-31,1\na,2026-02-01,2.5\n"


async def test_a_table_goes_in_and_comes_out(house: House) -> None:
    await house.add_device("a")
    found = calls(house.gateway)
    arguments: dict[str, Any] = {"content": base64.b64encode(TABLE.encode()).decode(), "device_id": "", "first_line": 1}
    tally = await found["telemetry.import"](arguments | {"dry_run": False})
    assert (tally.reading_count, tally.refused_count) == (2, 0)
    [entry] = await house.gateway.registry.audit.entries(1, limit=1)
    assert (entry.action, entry.actor) == ("telemetry.import", "the command line")
    text = ""
    mark: dict[str, Any] | None = {}
    asked = {"start": 0, "end": house.clock(), "form": "csv"}
    name = await found["telemetry.export_begin"]({"asked": asked, "selected": {}})
    while mark is not None:
        piece = await found["telemetry.export"]({"name": name, "mark": mark})
        text += piece.text
        mark = msgspec.to_builtins(piece.next)
    assert text.splitlines() == [
        "device_id,at,sequence,flow,more",
        "a,2026-01-31T00:00:00.000Z,,1,",
        "a,2026-02-01T00:00:00.000Z,,2.5,",
    ]
    with pytest.raises(InvalidReadingsError, match="UTF-8"):
        await found["telemetry.import"](arguments | {"content": "/w==", "dry_run": True})


async def test_what_comes_new_while_an_export_is_written_changes_nothing_of_it(house: House) -> None:
    for device_id in ("b", "c"):
        await house.add_device(device_id)
    count = STRETCH_REPORTS + 500
    sent = [report("b", NOON + number, values={"flow": number, "zeta": 9}) for number in range(count)]
    await house.gateway.ingestion.bring([*sent, report("c", NOON, values={"flow": 7})])
    found = calls(house.gateway)
    asked = {"start": NOON, "end": NOON + HOUR_MS, "form": "csv"}
    name = await found["telemetry.export_begin"]({"asked": asked, "selected": {}})
    piece = await found["telemetry.export"]({"name": name, "mark": {}})
    await house.add_device("a")
    await house.gateway.ingestion.bring([report("a", NOON), report("c", NOON + 1, values={"new": 3, "flow": 8})])
    text = piece.text
    while piece.next is not None:
        piece = await found["telemetry.export"]({"name": name, "mark": msgspec.to_builtins(piece.next)})
        text += piece.text
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["device_id", "at", "sequence", "flow", "zeta", "more"]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [row[0] for row in rows[1:]] == ["b"] * count + ["c", "c"]
    assert (rows[-1][3], rows[-1][5]) == ("8", '{"new": 3}')


async def test_devices_are_those_that_every_list_lets_through(house: House) -> None:
    await house.add_device("a", zone="north")
    await house.add_device("b", zone="south")
    assert len(selected(house.gateway, Selected())) == 2
    assert [each.device_id for each in selected(house.gateway, Selected(zones=("south",)))] == ["b"]
    assert selected(house.gateway, Selected(device_ids=("a",), zones=("south",))) == []
    assert selected(house.gateway, Selected(groups=("x",))) == selected(house.gateway, Selected(types=("x",))) == []
    with pytest.raises(UnknownDeviceError):
        selected(house.gateway, Selected(device_ids=("nobody",)))
