"""What can be sent."""

from typing import Any

import pytest

from appliance.commands import check
from appliance.commands.catalogue.model import CommandType
from appliance.commands.model import DialectName, InvalidCommandError, NewCommand, Selection, State
from tests.appliance.commands.examples import NOW, command


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a b"},
        {"name": ""},
        {"qos": 0},
        {"qos": 3},
        {"priority": 101},
        {"retries": -1},
        {"retries": 21},
        {"expires_in_s": 0},
        {"start_timeout_s": 90 * 86_400 + 1},
        {"finish_timeout_s": -5},
        {"payload": b"{"},
        {"payload": b"\xff"},
        {"payload": b"x" * 131_073, "content_type": "text/plain"},
        {"content_type": ""},
        {"content_type": "a\nb"},
        {"idempotency_key": ""},
        {"idempotency_key": "x" * 129},
    ],
)
def test_what_cannot_be_sent_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidCommandError):
        check.checked(NewCommand(**{"name": "blink", **fields}))


def test_what_can_be_sent_stays_as_it_is() -> None:
    new = NewCommand("blink", b"\x00", "application/octet-stream", qos=2, priority=-100, retries=20, expires_in_s=1)
    assert check.checked(new) is new


def test_a_command_begins_with_what_is_usual() -> None:
    begun = command()
    assert (begun.state, begun.qos, begun.may_repeat, begun.attempt) == (State.QUEUED, 1, False, 1)
    assert (begun.expires_at, begun.due_at) == (NOW + 604_800_000, NOW + 604_800_000)
    assert (begun.start_timeout_ms, begun.finish_timeout_ms) == (60_000, 3_600_000)


def test_the_type_says_whether_it_may_be_repeated_unless_the_command_does() -> None:
    kind = CommandType("blink", may_repeat=True)
    told = [check.told(NewCommand("blink", may_repeat=own), kind, "t").may_repeat for own in (None, False)]
    assert told == [True, False]
    assert check.told(NewCommand("blink"), None, "t").may_repeat is False


def test_a_type_that_speaks_of_jobs_makes_its_commands_jobs_unless_they_say_otherwise() -> None:
    kind = CommandType("blink", dialect=DialectName.JOBS)
    for own, told in ((DialectName.ANY, DialectName.JOBS), (DialectName.PLAIN, DialectName.PLAIN)):
        assert check.told(NewCommand("blink", dialect=own), kind, "light").dialect is told
    # Another dialect of the type is a preference, for whoever has subscribed to it.
    assert check.told(NewCommand("blink"), CommandType("blink", dialect=DialectName.AWS), "").dialect is DialectName.ANY


def test_the_same_has_the_same_digest_whatever_its_key() -> None:
    one = check.digest_of(NewCommand("blink", idempotency_key="a"), "lamp")
    assert one == check.digest_of(NewCommand("blink", idempotency_key="b"), "lamp")
    assert one != check.digest_of(NewCommand("blink", priority=1), "lamp")
    assert one != check.digest_of(NewCommand("blink"), "other")
    assert one != check.digest_of(NewCommand("blink"), Selection(device_ids=("lamp",)))


def test_devices_are_told_in_exactly_one_way() -> None:
    assert check.described(Selection(zone="north")) == "zone: north"
    assert check.described(Selection(device_ids=("a", "b"))) == "2 devices by name"
    for selection in (Selection(), Selection(group="a", zone="b"), Selection(device_ids=("a",) * 100_001)):
        with pytest.raises(InvalidCommandError):
            check.described(selection)


def test_a_command_too_many_ends_at_once() -> None:
    ended = check.beyond(command(), 100)
    assert (ended.state, ended.ended_at, ended.reason_code) == (State.CANCELLED, NOW, check.TOO_MANY)
