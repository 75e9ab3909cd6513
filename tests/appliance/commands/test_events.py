"""What everybody is told of a command."""

import json

import msgspec

from appliance.commands.events import event
from appliance.commands.model import State
from tests.appliance.commands.examples import EXECUTION, NOW, command


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
