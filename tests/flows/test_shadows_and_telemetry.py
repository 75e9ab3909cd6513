"""Telemetry never changes a shadow by itself: only who asks by the topics of shadows, by HTTP or on the page does."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.flows.running import RunningGateway, running
from tests.flows.test_shadows import WAIT_S, Thing

STATE = {"desired": {"mode": "eco", "speed": 7}, "reported": {"mode": "auto", "speed": 7}}
METADATA = {"desired": {"mode": {"timestamp": 1}}, "reported": {"mode": {"timestamp": 1}}}
LOOKS_LIKE_ONE = (
    # Readings with the names of what is desired, and of what is reported.
    {"mode": "eco", "speed": 8},
    {"readings": {"mode": "eco", "speed": 9, "state.reported.mode": "eco"}},
    {"desired": {"mode": "off"}, "reported": {"mode": "off"}},
    # Requests, and documents.
    {"state": {"reported": {"mode": "eco"}}},
    {"state": {"desired": {"mode": "off"}}, "version": 1, "clientToken": "t"},
    {"state": {"reported": {"mode": "eco"}, "desired": None}, "clientToken": "t"},
    {"state": None},
    {"state": STATE | {"delta": {"mode": "eco"}}, "metadata": METADATA, "version": 2, "timestamp": 1_800_000_000},
    {"previous": {"state": STATE}, "current": {"state": STATE, "version": 3}},
    [{"state": {"reported": {"mode": "eco"}}}, {"state": {"reported": {"mode": "off"}}}],
    {"deviceId": "pump", "shadow": {"state": {"reported": {"mode": "eco"}}}},
    [{"bn": "pump:state.reported.", "n": "mode", "vs": "eco"}],
    b"\xa1\x65state\xa1\x68reported\xa1\x64mode\x63eco",  # the first request in CBOR
    b"",
    b"null",
)
TABLES = ("shadow", "shadow_change", "shadow_total")
OF_TELEMETRY = (
    "telemetry",
    "telemetry/shadow/update",
    "shadow/update",
    "shadow/name/config/update",
    "shadow/delete",
    "$aws/things/{device}/shadow/update",
)
"""Below `sensors/DEVICE_ID/`: what a device may call its readings."""


def test_telemetry_changes_no_shadow_and_makes_none(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        token = gateway.token()
        bundle = gateway.add_device("pump")
        pump = Thing(gateway, "pump", bundle).subscribe()
        bare = Thing(gateway, "bare", gateway.add_device("bare")).subscribe()
        pump.ask("update", {"state": STATE}, 3)
        pump.ask("name/config/update", {"state": {"reported": {"mode": "auto"}}}, 2)
        before, heard = _shadows(gateway, token), (list(pump.heard), list(bare.heard))
        assert [each["version"] for each in before["pump"]["shadows"]] == [1, 1]
        assert before["bare"]["shadows"] == []
        _publish_everything(pump, "pump")
        _publish_everything(bare, "bare")
        # It did come, and as readings.
        for device in ("pump", "bare"):
            assert set(_readings(gateway, device, "speed", token)) == {8, 9}
            assert {"eco", "off"} >= set(_readings(gateway, device, "state.reported.mode", token)) != set()
        assert _shadows(gateway, token) == before
        assert (pump.heard, bare.heard) == heard
        assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
        pump.close()
        bare.close()
    with running(tmp_path) as gateway:
        # The log was taken up again.
        assert set(_readings(gateway, "bare", "speed", token)) == {8, 9}
        assert _shadows(gateway, token) == before
        _require_own_word_counts(gateway, bundle, before, token)


def _require_own_word_counts(gateway: RunningGateway, bundle: Path, before: dict[str, Any], token: str) -> None:
    """A request changes the shadow of the device, from where it was, and nothing else."""
    pump = Thing(gateway, "pump", bundle).subscribe()
    [(topic, body), _] = pump.ask("update", {"state": {"reported": {"mode": "eco"}}, "version": 1}, 2)
    assert (topic, body["version"]) == ("update/accepted", 2)
    pump.close()
    after = _shadows(gateway, token)
    assert (after["pump"][""]["reported"], after["pump"][""]["delta"]) == ({"mode": "eco", "speed": 7}, None)
    assert [change["patch"] for change in after["pump"]["history"][""]] == [{"reported": {"mode": "eco"}}, STATE]
    assert (after["bare"], after["pump"]["config"]) == (before["bare"], before["pump"]["config"])
    assert after["stored"] != before["stored"]


def _publish_everything(thing: Thing, device: str) -> None:
    sent = []
    for payload in LOOKS_LIKE_ONE:
        body = payload if isinstance(payload, bytes) else json.dumps(payload)
        for name in OF_TELEMETRY:
            topic = f"sensors/{device}/{name.format(device=device)}"
            sent += [thing.client.publish(topic, body, qos=qos, retain=qos == 1) for qos in (0, 1)]
    for each in sent:
        each.wait_for_publish(WAIT_S)


def _shadows(gateway: RunningGateway, token: str) -> dict[str, Any]:
    """Everything that the API tells of the shadows of both devices, and everything that is stored of shadows."""
    found: dict[str, Any] = {}
    for device in ("pump", "bare"):
        path = f"/v1/devices/{device}/shadow"
        told = found[device] = {"shadows": gateway.get(f"{path}s", token)["shadows"], "history": {}}
        for name in ("", "config"):
            told[name] = gateway.call("GET", f"{path}?name={name}", token)[1]
            told["history"][name] = gateway.get(f"{path}/history?name={name}", token)["changes"]
    with closing(sqlite3.connect(f"{(gateway.data / 'gateway.db').as_uri()}?mode=ro", uri=True)) as database:
        found["stored"] = [database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES]
    return found


def _readings(gateway: RunningGateway, device: str, metric: str, token: str) -> list[Any]:
    answer = gateway.get(f"/v1/devices/{device}/telemetry?metric={metric}&limit=1000", token)
    return [value for series in answer["series"] for value in series["values"]]
