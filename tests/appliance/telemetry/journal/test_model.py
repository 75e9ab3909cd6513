"""Whose a message is."""

import pytest

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
