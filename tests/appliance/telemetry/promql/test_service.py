import asyncio
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.asking.model import TooMuchError
from appliance.telemetry.asking.service import Asking
from appliance.telemetry.promql.evaluate import window_of
from appliance.telemetry.promql.model import Leaf, QueryError, Result, Series, Steps
from appliance.telemetry.promql.parser import parsed, selector_of
from appliance.telemetry.promql.service import Prometheus
from tests.appliance.telemetry.asking.source import Listed, Sent
from tests.appliance.telemetry.promql.devices import device

START = 20_000 * DAY_MS
DEVICES = [device("a", zone="north"), device("b", zone="south")]


class Stored:
    """Readings in a list, as a telemetry gives them."""

    def __init__(self, sent: Sent) -> None:
        self.listed = Listed(sent)
        self.asking = Asking(self.listed)

    def metrics(self, _: int, device_id: str) -> list[str]:
        return sorted({each[1] for each in self.listed.sent if each[0] == device_id})


async def asked(sent: Sent, query: str, steps: Steps) -> Result:
    return await Prometheus(Stored(sent)).query(1, DEVICES, query, steps)


def naive(sent: Sent, leaf: Leaf, steps: Steps, device_id: str) -> list[float | None]:
    """What a leaf is at each step, by looking at every reading."""
    length_ms, offset_ms, aggregate = window_of(leaf, steps)
    found: list[float | None] = []
    for at in steps.moments():
        inside = sorted(
            (moment, number)
            for name, metric, moment, number in sent
            if name == device_id and metric == "flow" and at - offset_ms - length_ms <= moment < at - offset_ms
            if isinstance(number, float)
        )
        numbers = [number for _, number in inside]
        if not numbers:
            found.append(None)
            continue
        ways = {
            "avg": sum(numbers) / len(numbers),
            "min": min(numbers),
            "max": max(numbers),
            "sum": sum(numbers),
            "count": len(numbers),
            "last": numbers[-1],
            "first": numbers[0],
        }
        found.append(ways[aggregate])
    return found


moments = st.integers(0, 3 * DAY_MS).map(lambda at: START + at) | st.integers(0, 40).map(
    lambda step: START + step * 20 * MINUTE_MS
)
readings = st.lists(
    st.tuples(st.sampled_from("ab"), st.just("flow"), moments, st.integers(-50, 50).map(float)),
    max_size=40,
    unique_by=lambda each: (each[0], each[2]),
)
steps = st.builds(
    Steps,
    moments | st.sampled_from([START, START + HOUR_MS]),
    st.integers(1, 30),
    st.sampled_from([MINUTE_MS, 7 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS, 1_234_567]),
)
queries = st.sampled_from(
    [
        "flow",
        "flow offset 3h",
        "flow offset 1h",
        "sum_over_time(flow[2h] offset 1h)",
        *(
            f"{name}_over_time(flow[{length}])"
            for name in ("avg", "min", "max", "sum", "count", "last", "first")
            for length in ("5m", "1h", "1d", "90m")
        ),
    ]
)


@given(readings, steps, queries)
def test_a_query_is_what_looking_at_every_reading_gives(sent: Sent, when: Steps, query: str) -> None:
    found = asyncio.run(asked(sent, query, when))
    assert isinstance(found, list)
    leaf = parsed(query)
    by_device = {each.labels["device_id"]: each.values for each in found}
    for name in "ab":
        expected = naive(sent, leaf, when, name)  # type: ignore[arg-type]
        given_ = by_device.get(name, [None] * when.count)
        for one, other in zip(given_, expected, strict=True):
            assert (one is None) is (other is None), (query, name)
            assert one is None or other is None or isclose(one, other, abs_tol=1e-9)


async def test_what_is_put_back_in_time_is_what_was_then() -> None:
    sent: Sent = [("a", "flow", START + hour * HOUR_MS, float(hour)) for hour in range(8)]
    found = await asked(sent, "flow offset 2h", Steps(START + 3 * HOUR_MS + 1, 3, HOUR_MS))
    assert isinstance(found, list)
    assert [each.values for each in found] == [[1.0, 2.0, 3.0]]


SENT: Sent = [("a", "flow", START, 1.0), ("b", "flow", START, 3.0), ("b", "on", START, True)]
AFTER = Steps(START + 1, 1, 0)


async def test_series_are_chosen_by_their_labels() -> None:
    assert await asked(SENT, 'flow{zone=~"no.*"} * 10', AFTER) == [
        Series({"device_id": "a", "metric": "flow", "zone": "north"}, [10.0])
    ]
    assert await asked(SENT, "avg(flow)", AFTER) == [Series({}, [2.0])]
    assert await asked(SENT, 'flow{zone="west"}', AFTER) == []
    assert await asked(SENT, "flow", Steps(START, 1, 0)) == []
    source = Prometheus(Stored(SENT))
    assert len(await source.series(1, DEVICES, [])) == 3
    [labels] = await source.series(1, DEVICES, [selector_of("on"), selector_of('on{zone="x"}')])
    assert labels["__name__"] == "on"


@pytest.mark.parametrize(
    ("query", "when", "error"),
    [
        ("flow", Steps(START, 11_001, MINUTE_MS), QueryError),
        ("flow", Steps(0, 2, HOUR_MS), QueryError),
        ("flow offset 90y", AFTER, QueryError),
        ("avg_over_time(flow[7d])", Steps(START, 5_000, MINUTE_MS), TooMuchError),
    ],
)
async def test_what_would_be_too_much_is_refused(query: str, when: Steps, error: type[Exception]) -> None:
    with pytest.raises(error):
        await asked(SENT, query, when)


async def test_too_many_series_are_refused() -> None:
    many: Sent = [("a", f"m{number}", START, 1.0) for number in range(400)]
    with pytest.raises(TooMuchError):
        await asked(many, '{metric=~"m.*"}', Steps(START, 1_000, MINUTE_MS))
