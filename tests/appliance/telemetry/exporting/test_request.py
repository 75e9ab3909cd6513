from datetime import UTC

import msgspec
import pytest

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS
from appliance.telemetry.asking.model import LATEST
from appliance.telemetry.exporting.model import Asked, By, InBins, Raw
from appliance.telemetry.exporting.request import CELLS_LIMIT, keys_of, name_of, wanted
from appliance.telemetry.tables.layout import Form, Layout
from tests.appliance.telemetry.promql.devices import device
from tests.appliance.telemetry.reports import NOON

DEVICES = [device("b", zone="north", groups=("x", "y")), device("a", zone="north")]
ASKED = Asked(start=NOON, end=NOON + DAY_MS)


def metrics_of(device_id: str) -> list[str]:
    return ["flow", "time", device_id]


def test_readings_have_a_column_for_every_metric_that_can_have_one() -> None:
    found = wanted(1, ASKED, DEVICES, metrics_of)
    assert found == Raw(1, ("a", "b"), None, NOON, NOON + DAY_MS, Layout(Form.CSV, ("a", "b", "flow"), False))
    assert name_of(found, is_whole=True) == "readings-2026-01-31.csv"
    chosen = wanted(1, msgspec.structs.replace(ASKED, select=("flow, time",), form="long"), DEVICES, metrics_of)
    assert isinstance(chosen, Raw)
    assert chosen.metrics == frozenset({"flow", "time"})
    assert (chosen.form, name_of(chosen, is_whole=False)) == (Form.LONG, "readings-2026-01-31-incomplete.csv")


def test_bins_are_a_question() -> None:
    asked = msgspec.structs.replace(ASKED, width="1h", select=("avg(flow)",), by="zone", form="jsonl")
    found = wanted(1, asked, DEVICES, metrics_of)
    assert isinstance(found, InBins)
    assert (found.key, found.question.keys, found.question.zone) == ("zone", {"north": ("b", "a")}, UTC)
    assert name_of(found, is_whole=True) == "readings-2026-01-31.jsonl"


def test_rows_are_named_by_what_they_are_of() -> None:
    named = {by: keys_of(DEVICES[0], by) for by in By}
    assert named == {
        By.DEVICE: ("b",),
        By.GROUP: ("x", "y"),
        By.ZONE: ("north",),
        By.TYPE: ("",),
        By.ALL: ("all",),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"start": NOON + 2 * DAY_MS},
        {"end": LATEST + 1},
        {"form": "xml"},
        {"by": "zone"},
        {"fill": "zero"},
        {"select": ("avg(flow)",)},
        {"width": "1h"},
        {"width": "1h", "select": ("flow",)},
        {"width": "1h", "select": ("avg(flow)",), "by": "colour"},
        {"width": "1h", "select": ("avg(flow)",), "fill": "previous"},
        {"width": "1h", "select": ("avg(flow)",), "form": "long"},
        {"width": "1h", "select": ("avg(flow)",), "is_detailed": True},
        {"width": "1x", "select": ("avg(flow)",)},
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        wanted(1, msgspec.structs.replace(ASKED, **changes), DEVICES, metrics_of)


def test_too_many_rows_are_refused() -> None:
    many = [device(f"d{number}") for number in range(10_001)]
    asked = msgspec.structs.replace(ASKED, width="1h", select=("avg(flow)",))
    with pytest.raises(InvalidInputError, match="10,001"):
        wanted(1, asked, many, metrics_of)


def test_more_bins_than_a_few_minutes_of_work_are_refused_with_how_many_they_are() -> None:
    asked = msgspec.structs.replace(ASKED, start=0, end=CELLS_LIMIT * 500, width="1s", select=("avg(flow)",))
    one = DEVICES[:1]
    assert isinstance(wanted(1, asked, one, metrics_of), InBins)
    two = msgspec.structs.replace(asked, select=("avg(flow)", "max(flow)", "min(flow)"))
    with pytest.raises(InvalidInputError, match=r"50,000,001 bins of 1s .* 150,000,003 values"):
        wanted(1, two, one, metrics_of)
