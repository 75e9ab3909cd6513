"""Which requests are too many, of the whole batch and of its parts."""

from appliance.commands.jobs.topics import Api, JobAddress
from appliance.commands.jobs.turns import ASKED_LIMIT, Asked, Turns
from broker.message import Message


def _asked(device_id: str, count: int) -> list[Asked]:
    topic = f"$aws/things/{device_id}/jobs/get"
    messages = [Message(1, device_id, device_id, topic, b"", 1, False, 7) for _ in range(count)]
    return [(message, JobAddress(device_id, Api.GET)) for message in messages]


def test_each_device_has_its_own_requests() -> None:
    pump, valve = _asked("pump", ASKED_LIMIT + 2), _asked("valve", ASKED_LIMIT)
    assert Turns().beyond([*pump, *valve]) == {id(message) for message, _ in pump[ASKED_LIMIT:]}


def test_a_part_of_a_batch_is_judged_as_the_whole_was_and_the_next_batch_anew() -> None:
    turns, batch = Turns(), _asked("pump", ASKED_LIMIT * 3)
    whole = turns.beyond(batch)
    assert len(whole) == ASKED_LIMIT * 2
    for part in (batch[: ASKED_LIMIT * 2], batch[ASKED_LIMIT * 2 :], batch[-1:], batch):
        assert turns.beyond(part) == whole
    assert turns.beyond(_asked("pump", ASKED_LIMIT)) == frozenset()
    assert len(turns.beyond(_asked("pump", ASKED_LIMIT + 1))) == 1
