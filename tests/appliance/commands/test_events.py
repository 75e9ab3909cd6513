"""What everybody is told of a command."""

import json
from typing import TYPE_CHECKING, cast

import msgspec

from appliance.commands.delivery.flight import Change
from appliance.commands.events import event, publish_events
from appliance.commands.model import State
from broker.message import Message
from broker.publication import Publication
from tests.appliance.commands.examples import EXECUTION, NOW, command

if TYPE_CHECKING:
    from broker.exchange import Exchange


def test_a_new_command_is_created() -> None:
    told = event(None, command(batch_id="b"), NOW)
    assert told is not None
    assert (told.topic, told.qos, told.retain) == ("$aws/events/commandExecution/blink/CREATED", 1, False)
    assert json.loads(told.payload) == {
        "executionId": EXECUTION,
        "commandId": "blink",
        "deviceId": "lamp",
        "status": "CREATED",
        "version": 1,
        "timestamp": NOW // 1_000,
        "batchId": "b",
    }


def test_only_another_state_or_attempt_is_told() -> None:
    assert event(command(), command(offered_at=NOW), NOW) is None
    again = event(command(), command(attempt=2), NOW)
    assert again is not None
    over = event(command(), command(state=State.TIMED_OUT, reason_code="EXPIRED", reason="late"), NOW)
    assert over is not None
    assert over.topic.endswith("/TIMED_OUT")
    assert msgspec.json.decode(over.payload)["statusReason"] == {
        "reasonCode": "EXPIRED",
        "reasonDescription": "late",
    }


def test_what_nobody_hears_of_is_told_once_at_a_time() -> None:
    told: list[Message] = []

    def publish(message: Message) -> Publication:
        told.append(message)
        publication = Publication(cast("Exchange", None))
        publication.is_taken = message.tenant_id == 2
        return publication

    changes: list[Change] = [(None, command(tenant_id=tenant_id)) for tenant_id in (1, 2, 1, 2)]
    publish_events([*changes, (None, command(state=State.FAILED))], NOW, publish)
    assert [(message.tenant_id, message.topic.rpartition("/")[2]) for message in told] == [
        (1, "CREATED"),
        (2, "CREATED"),
        (2, "CREATED"),
        (1, "FAILED"),
    ]
