"""Stopping: acknowledged means on disk, whatever ends the process."""

import contextlib
import signal
import sqlite3
import time
from pathlib import Path

from tests.flows.running import Device, RunningGateway, running

DEVICES = 4
LOAD = 2_000


def _load(gateway: RunningGateway, until: int) -> list[Device]:
    """Connect devices and publish numbered readings until this many were acknowledged to each."""
    devices = [Device(gateway, f"load-{index}").wait_connected() for index in range(DEVICES)]
    for number in range(LOAD):
        for device in devices:
            device.publish({"n": number}, number)
    for device in devices:
        device.wait_acknowledged(until)
    return devices


def _stored(gateway: RunningGateway, device_id: str) -> set[int]:
    answer = gateway.get(f"/v1/devices/{device_id}/telemetry?metric=n&limit=100000", gateway.token())
    return {int(value) for series in answer["series"] for value in series["values"]}


def _assert_kept(folder: Path, devices: list[Device]) -> None:
    """Start again on the same data, and find everything that was acknowledged."""
    with running(folder) as again:
        for device in devices:
            stored = _stored(again, device.device_id)
            lost = set(device.acknowledged) - stored
            assert not lost, f"{len(lost)} of {len(device.acknowledged)} acknowledged readings are gone"


def test_a_stop_under_load_keeps_every_acknowledged_reading(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        devices = _load(gateway, until=100)
        assert gateway.end(signal.SIGTERM) == 0, gateway.output
    for device in devices:
        device.close()
    assert min(len(device.acknowledged) for device in devices) >= 100
    _assert_kept(tmp_path, devices)


def test_a_kill_under_load_loses_no_acknowledged_reading(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        devices = _load(gateway, until=300)
        assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    for device in devices:
        device.close()
    _assert_kept(tmp_path, devices)


def test_a_stop_says_on_disk_when_those_who_were_connected_left(tmp_path: Path) -> None:
    """A session whose time is over before the next start must not be resumed then."""
    with running(tmp_path) as gateway:
        device = Device(gateway, "keeper", keeps_session=True).wait_connected()
        before_ms = time.time_ns() // 1_000_000
        assert gateway.end(signal.SIGTERM) == 0, gateway.output
        with contextlib.closing(sqlite3.connect(gateway.data / "gateway.db")) as database:
            [left_at] = database.execute("SELECT left_at FROM session WHERE client_id = 'keeper'").fetchone()
    device.close()
    assert before_ms <= left_at <= time.time_ns() // 1_000_000


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        device = Device(gateway, "patient").wait_connected()
        device.publish({"n": 1})
        device.wait_acknowledged(1)
        with sqlite3.connect(gateway.data / "gateway.db", isolation_level=None) as lock:
            # Somebody holds the database, so that the stop has something to wait for.
            lock.execute("BEGIN IMMEDIATE")
            device.publish({"n": 2})
            gateway.process.send_signal(signal.SIGTERM)
            gateway.wait_printed("stop requested")
            assert gateway.end(signal.SIGTERM) == -signal.SIGTERM
            lock.execute("ROLLBACK")
        lock.close()
        device.close()


def test_a_part_that_fails_ends_the_process_with_its_cause(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path)
    gateway.wait_ready()
    device = Device(gateway, "last").wait_connected()
    device.publish({"n": 1})
    device.wait_acknowledged(1)
    with sqlite3.connect(gateway.data / "gateway.db") as connection:
        connection.execute("DROP TABLE log")
    connection.close()
    device.publish({"n": 2})
    assert gateway.wait() == 1
    assert "no such table: log" in gateway.output
    device.close()
    assert len(device.acknowledged) == 1
