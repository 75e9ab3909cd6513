"""What happens to clients, as messages of AWS IoT."""

import json
import uuid
from typing import Any

import pytest

from appliance.registry.presence_log import lifecycle
from appliance.registry.presence_log.lifecycle import Bearing, host_of
from broker.message import Message
from broker.ports import Connected, Disconnected, Refused, Subscribed
from broker.reason_codes import ReasonCode

NOW = 1_573_002_230_757
BEARING = Bearing(2, "f" * 64, "pump", 7)


def body(message: Message | None) -> dict[str, Any]:
    assert message is not None
    assert (message.tenant_id, message.retain, message.client_id) == (2, False, "")
    told: dict[str, Any] = json.loads(message.payload)
    return told


def test_a_connection_and_its_end_share_session_and_version() -> None:
    begun = lifecycle.connected(Connected(2, "pump", "pump", "192.0.2.7:4711", NOW, "abc"), BEARING)
    over = lifecycle.disconnected(Disconnected(2, "pump", "pump", "bye", NOW + 1, "abc", ReasonCode.SUCCESS), BEARING)
    assert begun is not None
    assert begun.topic == "$aws/events/presence/connected/pump"
    session = body(begun)["sessionIdentifier"]
    assert str(uuid.UUID(session)) == session
    assert body(begun) == {
        "clientId": "pump",
        "timestamp": NOW,
        "eventType": "connected",
        "thingName": "pump",
        "sessionIdentifier": session,
        "principalIdentifier": "f" * 64,
        "ipAddress": "192.0.2.7",
        "versionNumber": 7,
    }
    assert body(over) == {
        "clientId": "pump",
        "timestamp": NOW + 1,
        "eventType": "disconnected",
        "thingName": "pump",
        "sessionIdentifier": session,
        "principalIdentifier": "f" * 64,
        "clientInitiatedDisconnect": True,
        "disconnectReason": "CLIENT_INITIATED_DISCONNECT",
        "versionNumber": 7,
    }


def test_a_lost_connection_was_not_ended_by_its_client() -> None:
    over = body(lifecycle.disconnected(Disconnected(2, "pump", "pump", "lost", NOW, "abc"), BEARING))
    assert (over["clientInitiatedDisconnect"], over["disconnectReason"]) == (False, "CONNECTION_LOST")


def test_a_refused_client_is_told_of_with_its_reason() -> None:
    event = Refused(0, "", "pump", "192.0.2.7:4711", "connect_denied", "revoked", NOW, at_connect=True)
    message = lifecycle.connect_failed(event, Bearing(2, ""))
    assert message is not None
    assert message.topic == "$aws/events/presence/connect_failed/pump"
    assert body(message)["connectFailureReason"] == "AUTHORIZATION_FAILED"
    assert "thingName" not in body(message)


@pytest.mark.parametrize("is_over", [False, True])
def test_subscriptions_are_told_of_by_packet(is_over: bool) -> None:
    message = lifecycle.subscribed(Subscribed(2, "pump", ("a/#", "b"), "abc", NOW, is_over), BEARING)
    word = "unsubscribed" if is_over else "subscribed"
    assert message is not None
    assert message.topic == f"$aws/events/subscriptions/{word}/pump"
    assert (body(message)["eventType"], body(message)["topics"]) == (word, ["a/#", "b"])


@pytest.mark.parametrize("client_id", ["", "#", "a/+/b", "a\0"])
def test_nothing_is_told_of_a_client_whose_name_is_no_topic(client_id: str) -> None:
    assert lifecycle.connected(Connected(2, "p", client_id, "192.0.2.7:4711", NOW), BEARING) is None


@pytest.mark.parametrize(
    ("address", "host"),
    [("192.0.2.7:4711", "192.0.2.7"), ("::1:4711", "::1"), ("[::1]:4711", "::1"), ("somewhere", "somewhere")],
)
def test_the_address_is_told_without_its_port(address: str, host: str) -> None:
    assert host_of(address) == host
