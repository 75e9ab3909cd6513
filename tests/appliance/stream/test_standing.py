"""What people are told of those who read the log under a name."""

from appliance.stream.model import Consumer, ConsumerGap, Lag, Position
from appliance.stream.standing import standing
from tests.appliance.telemetry.reports import NOON

LOST = ConsumerGap(9, 3, NOON)


def consumer(tenant_id: int, name: str, gap: ConsumerGap | None = None) -> tuple[tuple[int, str], Consumer]:
    return (tenant_id, name), Consumer(tenant_id, name, NOON, NOON, Position(1), gap)


def test_the_names_of_consumers_are_for_their_own_tenant() -> None:
    consumers = dict([consumer(1, "mine", LOST), consumer(1, "well"), consumer(2, "theirs", LOST)])
    of_all = standing(consumers, {}, 100, NOON, None)
    assert (of_all.ok, of_all.is_serving, of_all.details["consumers"]) == (False, True, 3)
    assert of_all.summary == "the log was trimmed past 2 consumers: page Stream tells what is missing"
    of_mine = standing(consumers, {}, 100, NOON, 1)
    assert (of_mine.ok, of_mine.details["consumers"]) == (False, 2)
    assert of_mine.summary == "the log was trimmed past mine: page Stream tells what is missing"


def test_who_lags_far_behind_is_told_before_anything_is_lost() -> None:
    consumers = dict([consumer(1, "slow"), consumer(1, "well"), consumer(2, "theirs")])
    lags = {(1, "slow"): Lag(7, 51, NOON - 2_000), (1, "well"): Lag(1, 50, NOON), (2, "theirs"): Lag(9, 99, NOON)}
    of_mine = standing(consumers, lags, 100, NOON, 1)
    assert of_mine.summary == "behind by more than half of what is kept for consumers: slow"
    assert of_mine.details == {"consumers": 2, "lag_bytes": 51, "lag_reports": 7, "lag_ms": 2_000}
    assert standing(consumers, lags, 100, NOON, None).summary.endswith("kept for consumers: 2 consumers")
    assert standing(consumers, lags, 200, NOON, None).ok


def test_nobody_keeps_up_with_everything() -> None:
    assert standing({}, {}, 0, NOON, 1).summary == "consumers that keep up: 0"
