import json

from hypothesis import given

from appliance.stream.model import Gap, Position
from appliance.stream.replay.model import Lack
from appliance.telemetry.model import Report
from tests.appliance.telemetry.reports import DAY, NOON, reports
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


def test_a_day_that_is_missing_from_a_replay_moves_the_reader_to_no_place() -> None:
    expected = b'event: gap\ndata: {"day":"2026-01-31","why":"the bucket does not answer"}\n\n'
    assert lack_event(Lack(DAY, "the bucket does not answer")) == expected


def test_a_beat_is_no_event_and_may_move_the_reader_on() -> None:
    assert beat() == b": beat\n\n"
    assert beat("9") == b"id: 9\n: beat\n\n"
