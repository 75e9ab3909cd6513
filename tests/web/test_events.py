import json

from hypothesis import given

from appliance.stream.model import Gap, Position
from appliance.telemetry.coarse.model import Lacking
from appliance.telemetry.model import Report
from tests.appliance.telemetry.reports import NOON, reports
from web.events import beat, event, gap_event, lack_event, report_event


@given(reports())
def test_whatever_a_device_says_an_event_stays_one_event(report: Report) -> None:
    written = report_event(report, "7.2").decode()
    assert written.endswith("\n\n")
    kind, event_id, data = written.rstrip("\n").split("\n")
    assert (kind, event_id) == ("event: report", "id: 7.2")
    assert "\r" not in written
    json.loads(data.removeprefix("data: "))


def test_an_event_without_an_id_leaves_the_last_one_in_place() -> None:
    assert event("source", {"source": "log"}) == b'event: source\ndata: {"source":"log"}\n\n'


def test_a_gap_carries_the_place_after_it() -> None:
    written = gap_event(Gap(Position(1), 4, None, NOON, "x"), "5")
    assert written.startswith(b"event: gap\nid: 5\ndata: ")


def test_a_beat_is_no_event_and_may_move_the_reader_on() -> None:
    assert beat() == b": beat\n\n"
    assert beat("9") == b"id: 9\n: beat\n\n"


def test_what_stored_days_lack_is_a_gap_that_stays_where_the_reader_is() -> None:
    assert lack_event(Lacking((), ("2026-01-31",))) == (
        b'event: gap\ndata: {"report_count":null,"why":"of 2026-01-31 only roll-ups are left: what needs single'
        b' readings is not here","damaged_days":[],"coarse_days":["2026-01-31"]}\n\n'
    )
