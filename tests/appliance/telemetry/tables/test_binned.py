import json

from appliance.telemetry.asking.model import Place, Row
from appliance.telemetry.tables.binned import BinnedLayout, body, ending, heading
from appliance.telemetry.tables.layout import Form

ROWS = [Row(Place(0, "=a", 0), (1.0, None)), Row(Place(1_000, "b", 0), (2.5, 3))]
COLUMNS = ("avg(x)", "count(x)")


def test_rows_are_a_table() -> None:
    layout = BinnedLayout(Form.CSV, "device_id", COLUMNS)
    assert heading(layout) + body(layout, ROWS, is_first=True) + ending(layout) == (
        "at,device_id,avg(x),count(x)\r\n1970-01-01T00:00:00.000Z,'=a,1.0,\r\n1970-01-01T00:00:01.000Z,b,2.5,3\r\n"
    )
    assert heading(BinnedLayout(Form.CSV, "", COLUMNS)) == "at,avg(x),count(x)\r\n"


def test_rows_are_objects() -> None:
    layout = BinnedLayout(Form.JSON, "zone", COLUMNS)
    text = heading(layout) + body(layout, ROWS[:1], is_first=True) + body(layout, ROWS[1:], is_first=False)
    told = json.loads(text + body(layout, [], is_first=False) + ending(layout))
    assert told[0] == {"at": "1970-01-01T00:00:00.000Z", "zone": "=a", "avg(x)": 1.0, "count(x)": None}
    lines = body(BinnedLayout(Form.LINES, "", COLUMNS), ROWS, is_first=True).splitlines()
    assert [json.loads(line)["count(x)"] for line in lines] == [None, 3]
