from pathlib import Path

import pytest

from bench.numbers import Spread
from bench.telemetry_history import Kept
from bench.telemetry_peer import AbsentError, Days, Peer, Peered
from bench.telemetry_peers import measure
from bench.telemetry_written import Written

DAYS = Days(3, 20_240, 2, 600_000, hours=1, fleet_count=5, durable_count=400)
QUICK = Spread(1, 1.25, 1.25, 1.25, 1.25)
KEPT = Kept(1_000, 900, 500, 100, 1.0, 2_000, raw=QUICK, month_hours=QUICK, wide=QUICK, latest=QUICK)
WRITTEN = Written(200, 1_000, 9_000, 3_000, 0.5, 0.5)


def absent(_: Path, __: Days) -> Peered:
    raise AbsentError("it is not installed")


def present(folder: Path, _: Days) -> Peered:
    assert folder.is_dir()
    return Peered(12.0, 3_000.0, QUICK, QUICK, QUICK, QUICK)


def test_a_peer_that_is_absent_is_named_and_has_no_column(tmp_path: Path) -> None:
    told = measure(tmp_path, DAYS, KEPT, WRITTEN, [Peer("Here", "on disk", present), Peer("There", "kept", absent)])
    head = next(line for line in told.splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["what", "headworks", "Here"]
    assert told.endswith("There is absent: it is not installed.")


def test_each_column_says_what_it_keeps_and_what_it_promises(tmp_path: Path) -> None:
    told = measure(tmp_path, DAYS, KEPT, WRITTEN, [Peer("Here", "on paper", present)])
    rows = {cells[0]: cells[1:] for line in told.splitlines() if (cells := [c.strip() for c in line.split("|")[1:-1]])}
    assert rows["stored for each reading"] == ["0.60 B", "12.00 B"]
    assert rows["readings a second, 1,000 to a commit"] == ["2,000", "3,000"]
    assert rows["… a reading that was taken is"] == ["on disk (SQLite, FULL)", "on paper"]


@pytest.mark.parametrize("past_days", [0, 2])
def test_every_reading_of_the_days_is_given_in_time_order_within_them(past_days: int) -> None:
    days = Days(3, 20_240, past_days, 600_000, hours=1, fleet_count=5, durable_count=400)
    events = list(days.events())
    first, last = days.whole_span
    assert len(events) == 3 * (past_days * 144 + 720)
    assert all(first <= at < last for _, at, _ in events)
    assert len({(name, at) for name, at, _ in events}) == len(events)
    assert len(list(days.fleet())) == 5
    assert [len(commit) for commit in days.durable()] == [200, 200]
