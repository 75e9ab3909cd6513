"""Messages are had back byte for byte while the journal is on, also after a kill, and until they are erased."""

import json
import os
import signal
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from tests.flows.listening import listening
from tests.flows.running import Device, RunningGateway, running

SETTINGS = "[telemetry.journal]\nenabled = true\n"
PAYLOADS = [b'{"n": 1 ,"text":"\xc3\xa4"}', b"\xff\x00 not understood", b"", b'{"n":2.50}\n']


def raw_of(messages: list[Any]) -> list[bytes]:
    return [each["payload"].encode() if each["encoding"] == "text" else b64decode(each["payload"]) for each in messages]


def given(gateway: RunningGateway, token: str, **asked: Any) -> tuple[str, list[Any]]:
    """What is given once more, and where it comes from."""
    with listening(gateway, token, form="messages", speed="max", **asked) as listener:
        [begin, *rest, end] = listener.until("end")
    assert end.about["why"].startswith("everything")
    return begin.about["source"], [event.about for event in rest if event.kind == "message"]


def publish(device: Device, payloads: list[bytes]) -> None:
    before = len(device.acknowledged)
    for payload in payloads:
        device.publish(payload)
    device.wait_acknowledged(before + len(payloads))


def whole_since(gateway: RunningGateway, token: str) -> int:
    told: int = gateway.get("/v1/storage", token)["journal"]["whole_since"]
    return told


def test_what_came_is_had_back_byte_for_byte_and_what_a_kill_left_too(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path, SETTINGS)
    gateway.wait_ready()
    token = gateway.token()
    bundle = gateway.add_device("pump")
    device = Device(gateway, "pump", bundle).wait_connected()
    began = whole_since(gateway, token)
    publish(device, PAYLOADS)
    source, messages = given(gateway, token, **{"from": began})
    assert (source, raw_of(messages)) == ("journal", PAYLOADS)
    assert {(each["topic"], each["client_id"]) for each in messages} == {("sensors/pump/telemetry", "pump")}
    status, printed = gateway.quick_command("replay", "--messages", "--from", str(began))
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert (status, raw_of(lines)) == (0, PAYLOADS)
    assert "replayed out of the raw journal" in printed
    for path in (gateway.data / "journal").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    gateway.end(signal.SIGKILL)
    device.close()
    last = messages[-1]["arrived_at"]
    with running(tmp_path, SETTINGS) as again:
        # It is whole up to what arrived last, and nobody says that it is for longer.
        source, kept = given(again, token, **{"from": began, "until": last})
        assert source == "journal"
        assert kept == [each for each in messages if each["arrived_at"] < last]
        source, rebuilt = given(again, token, **{"from": began})
        assert source in ("log", "chunks")
        assert [json.loads(each["payload"])["readings"]["n"] for each in rebuilt] == [1, 2.5]
        assert again.end() == 0, again.output


def test_what_is_erased_is_gone_from_the_journal(tmp_path: Path) -> None:
    with running(tmp_path, SETTINGS) as gateway:
        token = gateway.command("token", "add", "script", "--role", "owner").strip()
        began = whole_since(gateway, token)
        for name in ("person", "other"):
            device = Device(gateway, name).wait_connected()
            publish(device, [b'{"of-%s": 1}' % name.encode(), b"garbage of %s" % name.encode()])
            device.close()
        assert gateway.call("DELETE", "/v1/devices/person/telemetry", token)[0] == 202
        others = [b'{"of-other": 1}', b"garbage of other"]
        source, messages = given(gateway, token, **{"from": began})
        assert (source, raw_of(messages)) == ("journal", others)
        while gateway.get("/v1/storage", token)["erasing"]:
            pass
        source, messages = given(gateway, token, **{"from": began})
        assert (source, raw_of(messages)) == ("journal", others)
        assert gateway.end() == 0, gateway.output
    segments = b"".join(path.read_bytes() for path in (gateway.data / "journal").iterdir())
    assert segments
    assert b"person" not in segments


def test_readings_are_taken_on_when_the_disk_does_not_take_the_journal(tmp_path: Path) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("there is no device here that is always full")
    (tmp_path / "data").mkdir()
    # A folder in which nothing can be made, not even by root.
    (tmp_path / "data" / "journal").symlink_to("/proc/self/fdinfo")
    with running(tmp_path, SETTINGS) as gateway:
        gateway.wait_printed("raw journal switched off for a while")
        token = gateway.token()
        device = Device(gateway, "pump").wait_connected()
        publish(device, PAYLOADS)
        device.close()
        part = gateway.get("/v1/status", token)["parts"]["journal"]
        assert part["ok"] is False
        assert gateway.get("/v1/storage", token)["journal"]["is_writing"] is False
        assert gateway.end() == 0, gateway.output
