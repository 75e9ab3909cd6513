import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from math import isclose
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.registry.model import Device
from appliance.store.readers import Readers
from appliance.telemetry.asking.model import KEYS_LIMIT, TooMuchError
from appliance.telemetry.asking.pieces import Span
from appliance.telemetry.asking.service import Asking
from appliance.telemetry.coarse.model import Lacking, Needed
from appliance.telemetry.promql.evaluate import window_of
from appliance.telemetry.promql.model import Leaf, QueryError, Result, Series, Steps
from appliance.telemetry.promql.parser import parsed
from appliance.telemetry.promql.service import SELECTORS_LIMIT, Prometheus
from appliance.telemetry.wanted import Check
from tests.appliance.telemetry.asking.source import Listed, Sent
from tests.appliance.telemetry.promql.devices import device

START = 20_000 * DAY_MS
DEVICES = [device("a", zone="north"), device("b", zone="south")]


class Knowing:
    """Says what is lacking, and remembers of what that was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Collection[str], Sequence[Needed], Span]] = []

    async def lacking(self, _: int, device_ids: Collection[str], what: Sequence[Needed], within: Span) -> Lacking:
        self.asked.append((device_ids, what, within))
        return Lacking(("2024-10-04",))


class Stored:
    """Readings in a list, as a telemetry gives them."""

    def __init__(self, sent: Sent, listed: Listed | None = None, limit_s: float = 30.0) -> None:
        self.listed = listed or Listed(sent)
        self.asking = Asking(self.listed, limit_s)
        self.aside = self.listed.aside
        self.coarse = Knowing()
        self._metrics: dict[str, set[str]] = {}
        for device_id, metric, _, _ in sent:
            self._metrics.setdefault(device_id, set()).add(metric)

    def metrics(self, _: int, device_id: str) -> list[str]:
        return sorted(self._metrics.get(device_id, ()))


class Threaded(Listed):
    """Readings that are worked on in the threads of a gateway."""

    def __init__(self, sent: Sent, readers: Readers) -> None:
        super().__init__(sent)
        self._readers = readers

    async def aside(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await self._readers.run(function, *arguments, **named)


async def asked(sent: Sent, query: str, steps: Steps) -> Result:
    return await Prometheus(Stored(sent)).query(1, DEVICES, query, steps, as_it_is)


def as_it_is(_: Check, result: Result, __: Lacking) -> Result:
    return result


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
    assert len(await source.look_up(1, DEVICES, [], list)) == 3
    [labels] = await source.look_up(1, DEVICES, ["on", 'on{zone="x"}'], list)
    assert labels["__name__"] == "on"


async def test_what_is_lacking_is_asked_of_what_roll_ups_cannot_tell_of_the_windows_and_told() -> None:
    stored = Stored(SENT)

    def told(_: Check, __: Result, lacking: Lacking) -> Lacking:
        return lacking

    async def lacking(query: str) -> Lacking:
        return await Prometheus(stored).query(1, DEVICES, query, Steps(START + DAY_MS, 2, 2 * HOUR_MS), told)

    assert await lacking("1 + 1") == await lacking('flow{zone="west"}') == Lacking()
    assert stored.coarse.asked == []
    assert await lacking("max_over_time(flow[90m])") == Lacking(("2024-10-04",))
    [(devices, [needed], span)] = stored.coarse.asked
    first = START + DAY_MS - 90 * MINUTE_MS
    assert (sorted(devices), needed.metrics, span) == (["a", "b"], ["flow"], (first, START + DAY_MS + 2 * HOUR_MS))
    assert needed.spans == [(first, first + 30 * MINUTE_MS), (first + 2 * HOUR_MS, first + 150 * MINUTE_MS)]
    await lacking("max_over_time(flow[1h])")
    assert stored.coarse.asked[1][1][0].spans == []


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
    with pytest.raises(TooMuchError, match="bins of 400 series"):
        await asked(many, '{metric=~"m.*"}', Steps(START, 1_000, MINUTE_MS))
    fleet = [device(f"d{number}") for number in range(KEYS_LIMIT + 1)]
    source = Prometheus(Stored([(each.device_id, "flow", START, 1.0) for each in fleet]))
    with pytest.raises(TooMuchError, match="more than 10,000 series"):
        await source.query(1, fleet, "flow", AFTER, as_it_is)
    with pytest.raises(QueryError, match="selectors"):
        await source.look_up(1, DEVICES, ["flow"] * (SELECTORS_LIMIT + 1), list)


async def test_what_overlaps_often_is_answered_where_one_bin_of_a_window_suffices() -> None:
    when = Steps(START + 5_000, 2_000, 1_000)
    found = await asked([("a", "flow", START + 5_000, 7.0)], "last_over_time(flow[1000s])", when)
    assert isinstance(found, list)
    assert found[0].values[:3] == [None, 7.0, 7.0]
    assert found[0].values.count(7.0) == 1_000
    with pytest.raises(TooMuchError, match="overlap"):
        await asked([("a", "flow", START, 7.0)], "max_over_time(flow[1000s])", when)


HEAVY = '{device_id=~"%s"}' % ("(a|b)*a" + "(a|b|-)" * 500)


@asynccontextmanager
async def waiting_for_threads(limit_s: float = 30.0) -> AsyncIterator[tuple[Stored, list[Device]]]:
    """A store with the threads of a gateway, and devices whose names keep such an expression busy for very long."""
    numbers = [format(number * 2_654_435_761 % 2**32, "032b") for number in range(900)]
    devices = [device(number.replace("0", "a").replace("1", "b") * 40) for number in numbers]
    sent: Sent = [(each.device_id, "flow", START, 1.0) for each in devices]
    readers = Readers(1)
    async with readers.opened():
        yield Stored(sent, Threaded(sent, readers), limit_s), devices


async def test_an_expression_that_takes_long_keeps_nobody_else_and_ends_when_it_is_not_wanted() -> None:
    async with waiting_for_threads() as (stored, devices):
        source = Prometheus(stored)
        for ask in (
            lambda: source.query(1, devices, HEAVY, AFTER, as_it_is),
            lambda: source.look_up(1, devices, [HEAVY], list),
        ):
            asking = asyncio.create_task(ask())
            for _ in range(5):
                # On the loop itself it would be over after the first of these.
                await asyncio.sleep(0.001)
            assert not asking.done()
            asking.cancel()
            async with asyncio.timeout(30):
                await asyncio.wait([asking])


async def test_an_expression_that_takes_too_long_is_refused() -> None:
    async with waiting_for_threads(limit_s=0.2) as (stored, devices):
        source = Prometheus(stored)
        with pytest.raises(TooMuchError, match=r"more than 0\.2 s"):
            await source.query(1, devices, HEAVY, AFTER, as_it_is)
        with pytest.raises(TooMuchError, match=r"more than 0\.2 s"):
            await source.look_up(1, devices, [HEAVY], list)


async def test_what_is_told_is_made_while_the_question_has_its_turn() -> None:
    async with waiting_for_threads(limit_s=0.2) as (stored, _):

        def told(check: Check, _: Result, __: Lacking) -> None:
            while True:
                check()

        with pytest.raises(TooMuchError):
            await Prometheus(stored).query(1, DEVICES, "1", AFTER, told)
