"""Headers name the days that an answer lacks something of."""

from datetime import date, timedelta

from appliance.telemetry.coarse.model import Lacking
from web.lacking import headers


def test_a_header_is_there_when_it_has_days_to_name() -> None:
    assert headers(Lacking()) == {}
    assert headers(Lacking(("2026-01-01", "2026-01-03"), ("2026-01-02",))) == {
        "headworks-damaged-days": "2026-01-01,2026-01-03",
        "headworks-coarse-days": "2026-01-02",
    }
    days = ("2026-02-27", "2026-02-28", "2026-03-01", "2026-03-03", "2026-03-05", "2026-03-06")
    told = headers(Lacking((), days))
    assert told == {"headworks-coarse-days": "2026-02-27..2026-03-01,2026-03-03,2026-03-05..2026-03-06"}
    assert headers(Lacking((), ("2026-01-02",))) == {"headworks-coarse-days": "2026-01-02"}


def test_no_header_is_long() -> None:
    days = tuple(str(date(2020, 1, 1) + timedelta(days=2 * number)) for number in range(500))
    [told] = headers(Lacking(days)).values()
    assert len(told) < 4_000
    assert told.startswith("2020-01-01,2020-01-03,")
    assert told.endswith(",...")
