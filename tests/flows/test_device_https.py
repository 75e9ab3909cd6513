"""What devices ask over HTTPS: boto3 and curl against the real process, on the port that MQTT and HTTPS share."""

import contextlib
import http.client
import io
import json
import queue
import re
import sqlite3
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED, xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.flows.est import SETTINGS, Answer, shared_port
from tests.flows.running import Device, RunningGateway, end_client, running

OWN = "sensors/pump/telemetry"
PATIENCE_S = 20.0
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "device-https.md"


class Appliance:
    """A gateway, and the devices pump and fan."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.port = shared_port(gateway)
        self.bundles = {name: gateway.add_device(name) for name in ("pump", "fan")}
        self.token = gateway.token()

    def bundle(self, device_id: str) -> Path:
        if device_id not in self.bundles:
            self.bundles[device_id] = self.gateway.add_device(device_id)
        return self.bundles[device_id]

    def client(self, service: str, device_id: str = "pump", **settings: Any) -> Any:
        """A client of boto3 with the certificate of a device."""
        folder = self.bundle(device_id)
        shown = (str(folder / "certificate.pem"), str(folder / "key.pem"))
        config = {"signature_version": UNSIGNED, "client_cert": shown, "retries": {"max_attempts": 0}, **settings}
        return boto3.client(
            service,
            endpoint_url=f"https://localhost:{self.port}",
            region_name="local",
            verify=str(folder / "root.pem"),
            config=Config(**config),
        )

    def curl(self, path: str, *options: Any, device_id: str = "pump") -> Answer:
        folder = self.bundle(device_id)
        shown = ("--cacert", folder / "root.pem", "--cert", folder / "certificate.pem", "--key", folder / "key.pem")
        command = ["curl", "-sS", "-i", *shown, *options, f"https://localhost:{self.port}{path}"]
        done = subprocess.run(command, capture_output=True, timeout=40, check=False)
        assert done.returncode == 0, done.stderr
        return Answer(done.stdout.decode())

    def problems(self, device_id: str) -> str:
        """What the page of a device says was refused."""
        told = self.gateway.get(f"/v1/devices/{device_id}", self.token)["problems"]
        return " ".join(problem["reason"] for problem in told)

    def context(self, device_id: str, *alpn: str) -> ssl.SSLContext:
        folder = self.bundle(device_id)
        context = ssl.create_default_context(cafile=str(folder / "root.pem"))
        context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        if alpn:
            context.set_alpn_protocols(alpn)
        return context


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with running(tmp_path_factory.mktemp("https"), SETTINGS) as gateway:
        yield Appliance(gateway)


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """The status and the kind of the exception that a call raises."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def body(answer: Any) -> Any:
    return json.load(answer["payload"])


class Listener:
    """A device that hears what it has subscribed to."""

    def __init__(self, appliance: Appliance, device_id: str, topic_filter: str) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        is_subscribed = threading.Event()
        self._device = Device(appliance.gateway, device_id, appliance.bundle(device_id)).wait_connected()
        client = self._device.client
        client.on_message = lambda _client, _data, message: self.heard.put((message.topic, bytes(message.payload)))
        client.on_subscribe = lambda *_: is_subscribed.set()
        client.subscribe(topic_filter, 1)
        assert is_subscribed.wait(PATIENCE_S)

    def close(self) -> None:
        self._device.close()


def test_what_boto3_publishes_is_on_disk_when_it_is_answered(appliance: Appliance) -> None:
    publisher = appliance.client("iot-data")
    answer = publisher.publish(topic=OWN, qos=1, payload=json.dumps({"pressure": 45.25}))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    # Another process reads the file.
    path = appliance.gateway.data / "gateway.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        assert reader.execute("SELECT COUNT(*) FROM log").fetchone()[0] >= 1
    told = appliance.gateway.get("/v1/devices/pump/telemetry?metric=pressure", appliance.token)
    assert "45.25" in json.dumps(told)
    publisher.publish(topic="sensors/pump/state", qos=0, payload=b"slow", contentType="text/plain")


def test_a_message_over_https_is_heard_over_mqtt_and_a_request_answered_there(appliance: Appliance) -> None:
    listener = Listener(appliance, "pump", "$aws/things/pump/shadow/name/heard/update/+")
    things = appliance.client("iot-data")
    body_ = json.dumps({"state": {"desired": {"mode": "fast"}}})
    things.publish(topic="$aws/things/pump/shadow/name/heard/update", qos=1, payload=body_)
    over_topic = {listener.heard.get(timeout=PATIENCE_S)[0].rpartition("/")[2] for _ in range(3)}
    assert over_topic == {"accepted", "delta", "documents"}
    things.update_thing_shadow(thingName="pump", shadowName="heard", payload=body_)
    over_route = [listener.heard.get(timeout=PATIENCE_S) for _ in range(3)]
    assert {topic.rpartition("/")[2] for topic, _ in over_route} == {"accepted", "delta", "documents"}
    assert {json.loads(payload).get("version", 2) for _, payload in over_route} == {2}
    things.delete_thing_shadow(thingName="pump", shadowName="heard")
    listener.close()


def test_shadows_of_boto3_are_those_of_the_gateway(appliance: Appliance) -> None:
    things = appliance.client("iot-data")
    with pytest.raises(things.exceptions.ResourceNotFoundException, match="No shadow exists"):
        things.get_thing_shadow(thingName="pump", shadowName="mode")
    update = {"state": {"reported": {"mode": "slow"}, "desired": {"mode": "fast"}}, "clientToken": "t-1"}
    for name in ({}, {"shadowName": "mode"}):
        told = body(things.update_thing_shadow(thingName="pump", payload=json.dumps(update), **name))
        assert (told["clientToken"], told["state"]["desired"]) == ("t-1", {"mode": "fast"})
        got = body(things.get_thing_shadow(thingName="pump", **name))
        assert got["state"]["delta"] == {"mode": "fast"}
        payload = json.dumps({**update, "version": got["version"] + 5})
        with pytest.raises(things.exceptions.ConflictException, match="Version conflict"):
            things.update_thing_shadow(thingName="pump", payload=payload, **name)
    listed = things.list_named_shadows_for_thing(thingName="pump", pageSize=1)
    assert (listed["results"], "nextToken" in listed) == (["mode"], False)
    body(things.delete_thing_shadow(thingName="pump", shadowName="mode"))
    assert things.list_named_shadows_for_thing(thingName="pump")["results"] == []
    for call in (things.get_thing_shadow, things.delete_thing_shadow, things.list_named_shadows_for_thing):
        assert refused(call, thingName="fan")[0] == 403
    assert refused(things.update_thing_shadow, thingName="fan", payload=json.dumps(update))[0] == 403
    assert refused(things.update_thing_shadow, thingName="pump", payload=b"{")[0] == 400


def test_retained_messages_and_properties_come_back(appliance: Appliance) -> None:
    things = appliance.client("iot-data")
    topic = "cmd/pump/response/last"
    pairs = [{"a": "1"}, {"b": "2"}]
    things.publish(
        topic=topic,
        qos=1,
        retain=True,
        payload=b"\0\1",
        userProperties=json.dumps(pairs),
        payloadFormatIndicator="UNSPECIFIED_BYTES",
        messageExpiry=600,
    )
    got = things.get_retained_message(topic=topic)
    assert (got["topic"], got["payload"], got["qos"]) == (topic, b"\0\1", 1)
    assert json.loads(got["userProperties"]) == pairs
    listed = things.list_retained_messages(maxResults=10)["retainedTopics"]
    assert [one["topic"] for one in listed] == [topic]
    assert refused(things.get_retained_message, topic="cmd/fan/response/last")[0] == 403
    assert refused(things.get_retained_message, topic="cmd/pump/nothing") == (404, "ResourceNotFoundException")


def test_a_job_is_worked_off_with_boto3(appliance: Appliance) -> None:
    wish = {"job_id": "open-the-valve", "document": {"operation": "open"}, "targets": {"devices": ["pump"]}}
    status, made = appliance.gateway.call("POST", "/v1/jobs", appliance.token, json.dumps(wish).encode())
    assert status == 201, made
    jobs = appliance.client("iot-jobs-data")
    begun = jobs.start_next_pending_job_execution(thingName="pump", statusDetails={"step": "1"})["execution"]
    assert (begun["jobId"], begun["status"]) == ("open-the-valve", "IN_PROGRESS")
    assert json.loads(begun["jobDocument"]) == {"operation": "open"}
    pending = jobs.get_pending_job_executions(thingName="pump")
    assert [job["jobId"] for job in pending["inProgressJobs"]] == ["open-the-valve"]
    described = jobs.describe_job_execution(thingName="pump", jobId="$next")["execution"]
    assert described["jobId"] == "open-the-valve"
    ended = jobs.update_job_execution(
        thingName="pump",
        jobId="open-the-valve",
        status="SUCCEEDED",
        expectedVersion=begun["versionNumber"],
        includeJobExecutionState=True,
    )
    assert ended["executionState"]["status"] == "SUCCEEDED"
    with pytest.raises(jobs.exceptions.TerminalStateException):
        jobs.describe_job_execution(thingName="pump", jobId="open-the-valve")
    with pytest.raises(jobs.exceptions.InvalidStateTransitionException):
        jobs.update_job_execution(thingName="pump", jobId="open-the-valve", status="IN_PROGRESS")
    assert refused(jobs.get_pending_job_executions, thingName="fan")[0] == 403


def test_a_device_looks_after_its_own_connection(appliance: Appliance) -> None:
    things = appliance.client("iot-data")
    device = Device(appliance.gateway, "pump", appliance.bundle("pump")).wait_connected()
    told = things.get_connection(clientId="pump", includeSocketInformation=True)
    assert (told["connected"], told["thingName"], told["sourceIp"]) == (True, "pump", "127.0.0.1")
    assert things.list_subscriptions(clientId="pump")["subscriptions"] == []
    end_client(device.client)
    things.delete_connection(clientId="pump", cleanSession=True)
    assert refused(things.get_connection, clientId="pump") == (404, "ResourceNotFoundException")
    assert refused(things.delete_connection, clientId="fan")[0] in (403, 404)
    device.close()


ARGUMENTS: dict[str, dict[str, Any]] = {
    "publish": {"topic": "sensors/fan/telemetry"},
    "get_retained_message": {"topic": "cmd/fan/response/last"},
    "list_retained_messages": {},
    "get_connection": {"clientId": "fan"},
    "list_subscriptions": {"clientId": "fan"},
    "delete_connection": {"clientId": "fan"},
    "send_direct_message": {"clientId": "fan", "topic": "sensors/fan/telemetry"},
    "update_thing_shadow": {"thingName": "fan", "payload": b"{}"},
    "describe_job_execution": {"thingName": "fan", "jobId": "one"},
    "update_job_execution": {"thingName": "fan", "jobId": "one", "status": "SUCCEEDED"},
    "start_command_execution": {
        "targetArn": "arn:aws:iot:local:1:thing/fan",
        "commandArn": "arn:aws:iot:local:1:command/open",
    },
}
"""Of operations that want more than the name of a device."""


@pytest.mark.parametrize("service", ["iot-data", "iot-jobs-data"])
def test_every_operation_of_boto3_is_answered_in_its_own_words(appliance: Appliance, service: str) -> None:
    client = appliance.client(service)
    offered = [xform_name(name) for name in client.meta.service_model.operation_names]
    documented = re.findall(rf"^\| `{service}` \| (.*?) \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(documented))) == sorted(offered)
    for name in offered:
        arguments = ARGUMENTS.get(name, {"thingName": "fan"})
        if name == "list_retained_messages":
            assert getattr(client, name)(**arguments)["retainedTopics"] is not None
            continue
        expected = "AccessDeniedException" if name == "start_command_execution" else "ForbiddenException"
        assert refused(getattr(client, name), **arguments) == (403, expected), name


def test_a_message_goes_to_one_device_by_boto3(appliance: Appliance) -> None:
    statement = {"effect": "allow", "actions": ["receive"], "resources": ["cmd/pump/response/#"]}
    policy = {"document": {"statements": [statement]}, "devices": ["fan"]}
    path = "/v1/policies/hears-the-pump"
    status, told = appliance.gateway.call("PUT", path, appliance.token, json.dumps(policy).encode())
    assert status in (200, 201), told
    things = appliance.client("iot-data")
    said = {"clientId": "fan", "topic": "cmd/pump/response/now", "payload": b"now", "confirmation": True}
    assert refused(things.send_direct_message, **said) == (404, "ResourceNotFoundException")
    listener = Listener(appliance, "fan", "fw/fan/offer")
    assert things.send_direct_message(**said)["message"] == "OK"
    assert listener.heard.get(timeout=PATIENCE_S) == ("cmd/pump/response/now", b"now")
    listener.close()


def test_curl_publishes_as_the_guide_of_aws_has_it(appliance: Appliance) -> None:
    answer = appliance.curl(f"/topics/{OWN}?qos=1", "--tlsv1.2", "--request", "POST", "--data", '{"pressure": 1}')
    assert (answer.status, json.loads(answer.body)["message"]) == (200, "OK")
    encoded = OWN.replace("/", "%2F")
    assert appliance.curl(f"/topics/{encoded}?qos=1", "--data", '{"pressure": 2}').status == 200
    answer = appliance.curl("/topics/sensors/fan/telemetry?qos=1", "--data", "{}")
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (403, "ForbiddenException")
    until(lambda: "sensors/fan/telemetry" in appliance.problems("pump"))
    answer = appliance.curl("/no/such/route")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert "set-cookie" not in answer.headers


def test_who_asks_by_alpn_needs_no_name_and_keeps_its_connection(appliance: Appliance) -> None:
    context = appliance.context("pump", "x-amzn-http-ca")
    connection = http.client.HTTPSConnection("127.0.0.1", appliance.port, timeout=20, context=context)
    sockets = set()
    for number in range(5):
        connection.request("POST", f"/topics/{OWN}?qos=1", json.dumps({"pressure": number}))
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["message"]) == (200, "OK")
        sockets.add(connection.sock.getsockname())
    assert len(sockets) == 1
    connection.close()


def asked(connection: http.client.HTTPSConnection) -> http.client.HTTPResponse:
    connection.request("POST", f"/topics/{OWN}", b"{}")
    return connection.getresponse()


def test_who_shows_no_certificate_gets_nothing(appliance: Appliance) -> None:
    context = ssl.create_default_context(cafile=str(appliance.bundle("pump") / "root.pem"))
    connection = http.client.HTTPSConnection("localhost", appliance.port, timeout=20, context=context)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        asked(connection)
    connection.close()
    status, told = appliance.gateway.call("POST", f"/topics/{OWN}", appliance.token, b"{}")
    assert (status, "no certificate was shown" in told["message"]) == (401, True)


def test_a_certificate_that_is_revoked_opens_nothing_more(appliance: Appliance) -> None:
    things = appliance.client("iot-data", "valve")
    things.publish(topic="sensors/valve/telemetry", qos=1, payload=b'{"pressure": 1}')
    gateway = appliance.gateway
    [certificate] = gateway.get("/v1/devices/valve/certificates", appliance.token)["certificates"]
    path = f"/v1/devices/valve/certificates/{certificate['fingerprint']}"
    assert gateway.call("DELETE", path, appliance.token)[0] in (200, 204)
    # On the connection that is open, and on another one.
    for client in (things, appliance.client("iot-data", "valve")):
        status, _ = refused(client.publish, topic="sensors/valve/telemetry", qos=1, payload=b"{}")
        assert status == 401


def test_large_and_slow_bodies_are_bounded(appliance: Appliance) -> None:
    things = appliance.client("iot-data")
    large = io.BytesIO(b"x" * 300_000)
    assert refused(things.publish, topic=OWN, qos=1, payload=large)[0] == 413
    assert refused(things.publish, topic=OWN, qos=1, payload=b"x" * 2_000_000)[0] == 413
    things.publish(topic=OWN, qos=1, payload=b"{}")


def test_a_filter_that_nothing_matches_is_refused_and_the_connection_goes_on(appliance: Appliance) -> None:
    device = Device(appliance.gateway, "fan", appliance.bundle("fan")).wait_connected()
    codes: queue.Queue[list[int]] = queue.Queue()
    device.client.on_subscribe = lambda _client, _data, _mid, told, _properties: codes.put(
        [code.value for code in told]
    )
    for topic_filter, granted in (
        ("$aws/foo", 0x80),
        ("$aws/things/fan/nonsense/#", 0x80),
        ("$aws/things/fan/shadow/#", 1),
        ("$aws/things/fan/jobs/+/get/+", 1),
    ):
        device.client.subscribe(topic_filter, 1)
        assert codes.get(timeout=PATIENCE_S) == [granted], topic_filter
    until(lambda: "$aws/things/fan/nonsense/#" in appliance.problems("fan"))
    assert "ever publishes to" in appliance.problems("fan")
    assert not device.is_gone.is_set()
    device.publish({"pressure": 1})
    device.wait_acknowledged(1)
    device.close()
