"""What an operator wishes reaches a device, and the ledger tells how far it came."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from appliance.ingestion import cbor
from tests.flows.command_devices import CommandDevice, Operator, until
from tests.flows.running import RunningGateway, running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("commands")) as process:
        yield process


@pytest.fixture(scope="module")
def operator(gateway: RunningGateway) -> Operator:
    return Operator(gateway)


def device(gateway: RunningGateway, device_id: str, *filters: str, **options: bool) -> CommandDevice:
    wanted = filters or (f"cmd/{device_id}/request/+",)
    return CommandDevice(device_id, gateway.add_device(device_id), wanted, **options)


def aws(device_id: str, form: str, kind: str = "things") -> tuple[str, ...]:
    """The filters of AWS's guide; without a form, those of devices that take a payload as it is."""
    base = f"$aws/commands/{kind}/{device_id}/executions/+"
    end = f"/{form}" if form else ""
    return (f"{base}/request{end}", f"{base}/response/accepted{end}", f"{base}/response/rejected{end}")


def test_a_connected_device_is_told_and_its_answer_is_in_the_ledger(
    gateway: RunningGateway, operator: Operator
) -> None:
    pump = device(gateway, "pump-1").connect(gateway)
    pump.answer = lambda _id, _payload: b'{"status": "succeeded", "result": {"rpm": 3}}'
    command = operator.send("pump-1", "spin", payload={"rpm": 3})
    done = operator.wait(command["execution_id"], "succeeded")
    assert done["result"] == {"rpm": 3}
    assert done["ended_by"] == "device"
    # What is heard of the connection is on disk a moment after what the device told.
    until(lambda: operator.command(command["execution_id"])["acknowledged_at"] is not None)
    done = operator.command(command["execution_id"])
    assert done["acknowledged_at"] >= done["sent_at"] >= done["offered_at"] >= done["created_at"]
    [message] = pump.messages
    told = json.loads(message.payload)
    assert (told["command"], told["parameters"], told["is_repeated"]) == ("spin", {"rpm": 3}, False)
    properties: Any = message.properties
    assert properties.ResponseTopic == f"cmd/pump-1/response/{command['execution_id']}"
    assert properties.CorrelationData == command["execution_id"].encode()
    assert 0 < properties.MessageExpiryInterval <= 604_800
    pump.close()


def test_an_offline_device_is_told_when_it_connects_and_nothing_is_said_before(
    gateway: RunningGateway, operator: Operator
) -> None:
    sleeper = device(gateway, "sleeper", keeps=True).connect(gateway)
    sleeper.close()
    command = operator.send("sleeper")
    assert (command["state"], command["sent_at"]) == ("queued", None)
    assert operator.command(command["execution_id"])["state"] == "queued"
    sleeper.connect(gateway)
    operator.wait(command["execution_id"], "succeeded")
    assert sleeper.counts == {command["execution_id"]: 1}
    sleeper.close()


@pytest.mark.parametrize("form", ["json", "cbor"])
def test_a_device_of_aws_is_told_in_its_own_dialect(gateway: RunningGateway, operator: Operator, form: str) -> None:
    name = f"aws-{form}"
    thing = device(gateway, name, *aws(name, form)).connect(gateway)
    told: Any = {"status": "SUCCEEDED", "statusReason": {"reasonCode": "OK"}, "result": {"lux": {"s": "7"}}}
    thing.answer = lambda _id, _payload: cbor.encode(told) if form == "cbor" else json.dumps(told).encode()
    command = operator.send(name, payload={"on": True})
    done = operator.wait(command["execution_id"], "succeeded")
    assert (done["reason_code"], done["result"]) == ("OK", {"lux": {"s": "7"}})
    [message] = thing.messages
    body = cbor.decode(bytes(message.payload)) if form == "cbor" else json.loads(message.payload)
    assert body == {"on": True}
    properties: Any = message.properties
    assert properties.ContentType == f"application/{form}"
    thing.wait(lambda one: bool(one.answers))
    assert thing.answers[0].topic.endswith(f"/response/accepted/{form}")
    # What has ended stays as it is.
    thing.publish(thing.answers[0].topic.replace("/accepted", ""), thing.answer("", b"") or b"")
    thing.wait(lambda one: len(one.answers) > 1)
    assert thing.answers[1].topic.endswith(f"/response/rejected/{form}")
    thing.close()


@pytest.mark.parametrize("form", ["json", "cbor", ""])
def test_a_client_of_aws_is_told_under_its_client_identifier(
    gateway: RunningGateway, operator: Operator, form: str
) -> None:
    name = f"client-{form or 'plain'}"
    client = device(gateway, name, *aws(name, form, "clients")).connect(gateway)
    reports: list[Any] = [{"status": "IN_PROGRESS"}, {"status": "REJECTED", "statusReason": {"reasonCode": "TOO_HOT"}}]
    encode: Callable[[Any], bytes] = cbor.encode if form == "cbor" else lambda told: json.dumps(told).encode()
    client.answer = lambda _id, _payload: encode(reports[0])
    command = operator.send(name, payload={"on": True})
    operator.wait(command["execution_id"], "in_progress")
    [message] = client.messages
    end = f"/{form}" if form else ""
    base = f"$aws/commands/clients/{name}/executions/{command['execution_id']}"
    assert message.topic == f"{base}/request{end}"
    properties: Any = message.properties
    assert properties.ResponseTopic == f"{base}/response{end}"
    assert properties.ContentType == f"application/{form or 'json'}"
    assert 0 < properties.MessageExpiryInterval <= 604_800
    client.publish(f"{base}/response{end}", encode(reports[1]))
    done = operator.wait(command["execution_id"], "rejected")
    assert (done["reason_code"], done["ended_by"], client.counts) == ("TOO_HOT", "device", {command["execution_id"]: 1})
    client.publish(f"{base}/response{end}", encode(reports[0]))
    client.wait(lambda one: len(one.answers) == 3)
    assert [answer.topic.removeprefix(f"{base}/response/") for answer in client.answers] == [
        *(f"accepted{end}", f"accepted{end}", f"rejected{end}")
    ]
    client.close()


def test_of_two_kinds_a_device_that_wants_both_is_told_in_one(gateway: RunningGateway, operator: Operator) -> None:
    both = device(gateway, "both", *aws("both", "json"), *aws("both", "json", "clients")).connect(gateway)
    command = operator.send("both")
    operator.wait(command["execution_id"], "succeeded")
    # What comes after is not late for it.
    marker = operator.send("both")
    operator.wait(marker["execution_id"], "succeeded")
    assert both.order == [command["execution_id"], marker["execution_id"]]
    assert all(message.topic.startswith("$aws/commands/things/both/") for message in both.messages)
    both.close()


def test_what_was_not_sent_is_taken_back_and_what_was_is_not(gateway: RunningGateway, operator: Operator) -> None:
    lamp = device(gateway, "lamp")
    command = operator.send("lamp")
    status, cancelled = operator.call("POST", f"/v1/commands/{command['execution_id']}/cancel")
    assert (status, cancelled["state"], cancelled["ended_by"]) == (200, "cancelled", "operator")
    lamp.answer = lambda _id, _payload: b'{"status": "in_progress"}'
    lamp.connect(gateway)
    other = operator.send("lamp")
    operator.wait(other["execution_id"], "in_progress")
    status, refused = operator.call("POST", f"/v1/commands/{other['execution_id']}/cancel")
    assert (status, refused["code"]) == (409, "command_sent")
    assert list(lamp.counts) == [other["execution_id"]]
    lamp.close()


def test_what_has_expired_is_not_sent(gateway: RunningGateway, operator: Operator) -> None:
    late = device(gateway, "late")
    command = operator.send("late", expires_in_s=1)
    ended = operator.wait(command["execution_id"], "timed_out")
    assert (ended["reason_code"], ended["sent_at"]) == ("EXPIRED", None)
    late.connect(gateway)
    marker = operator.send("late")
    operator.wait(marker["execution_id"], "succeeded")
    assert list(late.counts) == [marker["execution_id"]]
    late.close()


def test_what_failed_is_tried_again_under_another_execution_id(gateway: RunningGateway, operator: Operator) -> None:
    clumsy = device(gateway, "clumsy").connect(gateway)
    clumsy.answer = lambda one, _payload: (
        b'{"status": "succeeded"}' if "-" in one else b'{"status": "failed", "reason": "jammed"}'
    )
    command = operator.send("clumsy", retries=1)
    done = operator.wait(command["execution_id"], "succeeded", "failed")
    assert (done["state"], done["attempt"], done["retries_left"]) == ("succeeded", 2, 0)
    assert clumsy.counts == {command["execution_id"]: 1, f"{command['execution_id']}-2": 1}
    clumsy.close()


def test_the_most_urgent_goes_first_and_among_equals_the_oldest(gateway: RunningGateway, operator: Operator) -> None:
    busy = device(gateway, "busy")
    sent = [operator.send("busy", priority=priority)["execution_id"] for priority in (0, 5, -5, 5, 0)]
    busy.connect(gateway)
    for execution_id in sent:
        operator.wait(execution_id, "succeeded")
    assert busy.order == [sent[1], sent[3], sent[0], sent[4], sent[2]]
    busy.close()


def test_a_group_is_told_at_once_and_its_progress_is_counted(gateway: RunningGateway, operator: Operator) -> None:
    devices = [device(gateway, f"member-{number}") for number in range(4)]
    for one in devices:
        operator.call("PATCH", f"/v1/devices/{one.device_id}", {"groups": ["choir"]})
    for one in devices[:3]:
        one.connect(gateway)
    status, batch = operator.call("POST", "/v1/commands", {"command": {"name": "sing"}, "group": "choir"})
    assert (status, batch["device_count"], batch["is_complete"]) == (201, 4, True)
    for one in devices[:3]:
        one.wait(lambda device: bool(device.answered))
    _, told = operator.call("GET", f"/v1/command-batches/{batch['batch_id']}")
    assert told["counts"] == {"succeeded": 3, "queued": 1}
    _, listed = operator.call("GET", f"/v1/commands?batch={batch['batch_id']}&state=queued")
    assert [one["device_id"] for one in listed["commands"]] == ["member-3"]
    _, cancelled = operator.call("POST", f"/v1/command-batches/{batch['batch_id']}/cancel")
    assert cancelled == {"cancelled_count": 1}
    for one in devices[:3]:
        one.close()
