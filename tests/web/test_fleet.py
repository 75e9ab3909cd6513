from hypothesis import given
from hypothesis import strategies as st

from appliance.alerts.model import Limit, NewRule, Operator, Severity
from appliance.instant import MINUTE_MS
from tests.web.house import House
from web import fleet
from web.fleet import Condition

METRICS = st.lists(st.sampled_from(["a", "b", "c"]), unique=True)


def limit(metric: str, zones: tuple[str, ...] = (), *, enabled: bool = True) -> Limit:
    return Limit(1, 1, "name", metric, Operator.GREATER_THAN, 60, 60, 0, Severity.HIGH, zones, (), enabled)


@given(METRICS, st.sampled_from(["a", "b", "c", ""]), METRICS)
def test_the_chosen_metric_is_one_that_is_there(there: list[str], wanted: str, watched: list[str]) -> None:
    chosen = fleet.chosen_metric(there, [limit(metric) for metric in watched], wanted)
    assert chosen in there or (chosen == "" and not there)
    if wanted in there:
        assert chosen == wanted


def test_a_watched_metric_goes_before_a_common_one() -> None:
    assert fleet.chosen_metric(["flow", "pressure"], [limit("pressure")], "") == "pressure"
    assert fleet.chosen_metric(["flow", "pressure"], [limit("pressure", enabled=False)], "") == "flow"


def test_a_limit_holds_in_its_zones_only() -> None:
    assert fleet.limit_for([limit("pressure", ("north",))], "pressure", "north") == 60
    assert fleet.limit_for([limit("pressure", ("north",))], "pressure", "south") is None


async def test_the_worst_come_first(house: House) -> None:
    await house.gateway.alerts.add_rule(1, NewRule("High", "pressure", "GREATER_THAN", 60.0, severity="high"))
    await house.add_device("fine")
    await house.add_device("away", is_connected=False)
    await house.add_device("pressed")
    await house.add_device("empty")
    await house.send("empty", {"batteryLevel": 5})
    await house.send("pressed", {"pressure": 61.0}, at=house.clock() - MINUTE_MS)
    standings = await fleet.survey(house.gateway, 1)
    assert {standing.device.device_id: standing.condition for standing in standings} == {
        "away": Condition.OFFLINE,
        "empty": Condition.ONLINE,
        "fine": Condition.ONLINE,
        "pressed": Condition.ALERTING,
    }
    assert [standing.device.device_id for standing in fleet.neediest(standings)] == ["pressed", "away", "empty"]


async def test_a_row_changes_only_when_its_device_does(house: House) -> None:
    await house.add_device("sensor-001")
    now = house.clock()
    for second in range(5):
        await house.send("sensor-001", {"pressure": 50.0 + second}, at=now - (5 - second) * 1_000)
    [standing] = await fleet.survey(house.gateway, 1)
    shown = fleet.columns([standing], "pressure")
    early = fleet.row(house.gateway, standing, shown, [], now)
    late = fleet.row(house.gateway, standing, shown, [], now + MINUTE_MS)
    assert early == late
    assert early.spark is not None
    assert early.value == "54.0"
