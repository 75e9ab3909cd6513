import base64
import json
import sqlite3
from typing import Any

import pytest

from broker.limits import Limits
from broker.message import Message
from broker.packets import Properties
from broker.ports import Turn
from tests.web import house as houses
from tests.web.device_http.device import Device, asking, refusal
from tests.web.house import House
from web.device_http import publishing

OWN = "/topics/sensors/pump/telemetry"


class Taken:
    """What the broker hands over, on the way to the real owner."""

    def __init__(self, house: House) -> None:
        self.messages: list[Message] = []
        self._accept = house.gateway.ingestion.accept
        house.gateway.broker.exchange._owner = self

    def accept(self, turn: Turn) -> None:
        self.messages += turn.messages
        self._accept(turn)

    def note(self, event: Any) -> None:
        """Nothing of this is looked at here."""


@pytest.fixture
def taken(house: House) -> Taken:
    return Taken(house)


async def test_what_is_answered_at_qos_1_is_on_disk(house: House, pump: Device) -> None:
    answer = await pump.post(f"{OWN}?qos=1", content=b'{"pressure": 1.5}')
    assert (answer.status_code, answer.json()["message"]) == (200, "OK")
    assert answer.json()["traceId"]
    # Another reader of the file: what it does not see is not committed.
    with sqlite3.connect(f"file:{house.gateway.data_folder / 'gateway.db'}?mode=ro", uri=True) as reader:
        [[count]] = reader.execute("SELECT COUNT(*) FROM log")
    assert count == 1
    assert house.gateway.telemetry.latest(1, "pump")["pressure"].value == 1.5


async def test_a_message_is_published_as_it_was_said(pump: Device, taken: Taken, house: House) -> None:
    pairs = base64.b64encode(json.dumps([{"a": "1"}, {"b": "2", "a": "3"}]).encode()).decode()
    headers = {
        "x-amz-mqtt5-user-properties": pairs,
        "x-amz-mqtt5-payload-format-indicator": "UTF8_DATA",
        "x-amz-mqtt5-correlation-data": base64.b64encode(b"\0\1").decode(),
    }
    query = "?qos=1&retain=true&contentType=application%2Fjson&responseTopic=cmd/pump/response&messageExpiry=60"
    assert (await pump.post(OWN + query, content=b"{}", headers=headers)).status_code == 200
    [message] = taken.messages
    assert (message.topic, message.payload, message.qos, message.retain) == ("sensors/pump/telemetry", b"{}", 1, True)
    assert (message.principal, message.client_id, message.is_operators) == ("pump", "pump", False)
    assert message.properties == Properties(
        payload_format_indicator=1,
        content_type="application/json",
        response_topic="cmd/pump/response",
        correlation_data=b"\0\1",
        user_properties=(("a", "1"), ("b", "2"), ("a", "3")),
    )
    assert message.expires_at == message.arrived_at + 60_000
    [kept] = house.gateway.broker.retained(1, "sensors/#")
    assert kept == message


async def test_user_properties_may_be_a_text_within_json_as_boto3_sends_them(pump: Device, taken: Taken) -> None:
    pairs = base64.b64encode(json.dumps(json.dumps([{"a": "1"}])).encode()).decode()
    answer = await pump.post(f"{OWN}?qos=1", content=b"x", headers={"x-amz-mqtt5-user-properties": pairs})
    assert answer.status_code == 200
    assert taken.messages[0].properties.user_properties == (("a", "1"),)


@pytest.mark.parametrize(
    ("path", "topic"),
    [
        ("sensors/pump/a", "sensors/pump/a"),
        ("sensors%2Fpump%2Fa", "sensors/pump/a"),
        ("sensors%2Fpump/a//b/", "sensors/pump/a//b/"),
        ("sensors/pump/a%20b%25%C3%A4", "sensors/pump/a b%ä"),
    ],
)
async def test_a_topic_may_be_written_in_either_way(pump: Device, taken: Taken, path: str, topic: str) -> None:
    assert (await pump.post(f"/topics/{path}", content=b"x")).status_code == 200
    assert (await pump.post(f"/topics/{path}?qos=1", content=b"x")).status_code == 200
    assert [message.topic for message in taken.messages] == [topic, topic]


@pytest.mark.parametrize("topic", ["sensors/fan/telemetry", "$aws/things/fan/shadow/update", "$aws/events/x", "other"])
async def test_where_it_may_not_publish_over_mqtt_it_may_not_here(pump: Device, taken: Taken, topic: str) -> None:
    answer = await pump.post(f"/topics/{topic}?qos=1", content=b"{}")
    assert refusal(answer) == (403, "ForbiddenException")
    assert topic in answer.json()["message"]
    assert taken.messages == []


async def test_what_was_denied_shows_on_its_page(house: House, pump: Device) -> None:
    assert (await pump.post("/topics/sensors/fan/telemetry", content=b"{}")).status_code == 403
    while not (problems := await house.gateway.ingestion.problems(1, "pump")):
        await house.send("pump", {"x": 1})
    assert (problems[-1].kind, "sensors/fan/telemetry" in problems[-1].reason) == ("publish_denied", True)


async def test_nothing_is_retained_among_requests(pump: Device, taken: Taken) -> None:
    answer = await pump.post("/topics/$aws/things/pump/shadow/get?retain=true", content=b"{}")
    assert refusal(answer) == (403, "ForbiddenException")
    assert taken.messages == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/topics/sensors/pump/+", {}),
        ("/topics/sensors/pump/%23", {}),
        ("/topics/sensors/pump/%00", {}),
        ("/topics/sensors/pump/%FF", {}),
        ("/topics/" + "x" * 2_000, {}),
        (f"{OWN}?qos=2", {}),
        (f"{OWN}?qos=", {}),
        (f"{OWN}?qos=%C2%B2", {}),
        (f"{OWN}?retain=1", {}),
        (f"{OWN}?messageExpiry=0", {}),
        (f"{OWN}?messageExpiry=99999999999", {}),
        (f"{OWN}?contentType=%00", {}),
        (f"{OWN}?responseTopic=a/%23", {}),
        (f"{OWN}?responseTopic=", {}),
        (OWN, {"x-amz-mqtt5-payload-format-indicator": "TEXT"}),
        (OWN, {"x-amz-mqtt5-correlation-data": "???"}),
        (OWN, {"x-amz-mqtt5-user-properties": "???"}),
        (OWN, {"x-amz-mqtt5-user-properties": base64.b64encode(b'[{"a": 1}]').decode()}),
        (OWN, {"x-amz-mqtt5-user-properties": base64.b64encode(b"[").decode()}),
        (OWN, {"x-amz-mqtt5-user-properties": base64.b64encode(b'"["').decode()}),
    ],
)
async def test_what_mqtt_would_not_take_is_not_taken(
    pump: Device, taken: Taken, path: str, headers: dict[str, str]
) -> None:
    assert refusal(await pump.post(path, content=b"x", headers=headers)) == (400, "InvalidRequestException")
    assert taken.messages == []


async def test_what_is_too_large_for_mqtt_is_too_large_here(house: House, pump: Device, taken: Taken) -> None:
    limit = house.gateway.broker.limits.packet_bytes
    assert (await pump.post(f"{OWN}?qos=1", content=b"x" * (limit - 100))).status_code == 200
    assert len(taken.messages) == 1
    for size in (limit, house.config.body_limit_bytes + 1):
        answer = await pump.post(OWN, content=b"x" * size)
        assert refusal(answer) == (413, "RequestEntityTooLargeException")
    assert len(taken.messages) == 1


async def test_while_too_much_waits_nothing_more_is_taken(house: House, pump: Device, taken: Taken) -> None:
    house.gateway.broker.pause_reading()
    answer = await pump.post(OWN, content=b"x")
    assert refusal(answer) == (429, "ThrottlingException")
    assert answer.headers["retry-after"] == "1"
    house.gateway.broker.resume_reading()
    assert (await pump.post(f"{OWN}?qos=1", content=b"x")).status_code == 200
    assert len(taken.messages) == 1


async def test_who_is_not_told_in_time_that_it_is_on_disk_is_told_so(
    house: House, pump: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "SETTLE_SECONDS", 0.05)
    house.gateway.broker.exchange._owner = Forgetful()
    answer = await pump.post(f"{OWN}?qos=1", content=b"x")
    assert refusal(answer) == (503, "ServiceUnavailableException")
    assert "send it again" in answer.json()["message"]
    assert (await pump.post(f"{OWN}?qos=0", content=b"x")).status_code == 200


class Forgetful:
    """Takes messages, and never says that they are on disk."""

    def accept(self, turn: Turn) -> None:
        """Keep nothing."""

    def note(self, event: Any) -> None:
        """Nor this."""


async def test_topics_that_are_acknowledged_at_once_are_answered_at_once(house: House, pump: Device) -> None:
    house.gateway.broker.exchange.now_filters = ("sensors/+/telemetry",)
    house.gateway.broker.exchange._owner = Forgetful()
    assert (await pump.post(f"{OWN}?qos=1", content=b"x")).status_code == 200


async def test_the_limits_of_the_broker_hold(tmp_path: Any) -> None:
    async with houses.opened(tmp_path, limits=Limits(topic_levels=3)) as house, asking(house) as pump:
        assert (await pump.post("/topics/sensors/pump/a", content=b"x")).status_code == 200
        answer = await pump.post("/topics/sensors/pump/a/b", content=b"x")
        assert refusal(answer) == (400, "InvalidRequestException")
        assert "4 levels" in answer.json()["message"]
