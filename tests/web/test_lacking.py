"""Headers name the days that an answer lacks something of."""

from appliance.telemetry.coarse.model import Lacking
from web.lacking import headers


def test_a_header_is_there_when_it_has_days_to_name() -> None:
    assert headers(Lacking()) == {}
    assert headers(Lacking(("2026-01-01", "2026-01-03"), ("2026-01-02",))) == {
        "headworks-damaged-days": "2026-01-01,2026-01-03",
        "headworks-coarse-days": "2026-01-02",
    }
    assert headers(Lacking((), ("2026-01-02",))) == {"headworks-coarse-days": "2026-01-02"}
