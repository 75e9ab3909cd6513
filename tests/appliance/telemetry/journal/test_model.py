"""Whose a message is, and what the journal says of itself."""

import pytest

from appliance.telemetry.journal.model import Usage
from tests.appliance.telemetry.journal.examples import raw


@pytest.mark.parametrize(
    ("principal", "topic", "devices", "is_of"),
    [
        ("a", "anything", ["a"], True),
        ("operator", "sensors/a/status", ["a"], True),
        ("operator", "sensors/a", ["a"], True),
        ("operator", "other/a/status", ["a"], False),
        ("operator", "sensors", ["a"], False),
        ("b", "sensors/b/a", ["a"], False),
    ],
)
def test_a_message_is_of_who_published_it_and_of_whose_topic_it_is_on(
    principal: str, topic: str, devices: list[str], is_of: bool
) -> None:
    assert raw(principal, topic=topic).is_of(devices) is is_of


@pytest.mark.parametrize(
    ("is_on", "trouble", "damage_count", "summary"),
    [
        (True, "", 0, "messages are kept as they came"),
        (False, "", 0, "messages are not kept as they came"),
        (True, "", 1, "a part of the raw journal was damaged; the log names it"),
        (True, "the disk is full", 1, "the disk is full"),
    ],
)
def test_it_is_well_only_when_nothing_is_missing(is_on: bool, trouble: str, damage_count: int, summary: str) -> None:
    usage = Usage(
        is_on=is_on,
        is_writing=is_on,
        segment_count=2,
        size_bytes=3,
        limit_bytes=4,
        hours=1,
        begun_at=None,
        trouble=trouble,
    )
    status = usage.status(damage_count)
    assert (status.summary, status.ok) == (summary, not trouble and not damage_count)
    assert status.ok or status.is_serving
    assert status.details == {"segments": 2, "size_bytes": 3, "damaged": damage_count}
