"""A job goes out to a fleet at its pace, is given up when too many fail, and survives whatever is killed."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.flows.job_devices import JobDevice
from tests.flows.running import RunningGateway, running

DEVICES = 50
PATIENCE_S = 60.0

pytestmark = pytest.mark.timeout(240)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Operator:
    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.token = gateway.token()

    def make(self, job_id: str, **further: Any) -> None:
        wish = {"job_id": job_id, "document": {"operation": job_id}, "targets": {"query": "id:worker-*"}, **further}
        status, said = self.gateway.call("POST", "/v1/jobs", self.token, json.dumps(wish).encode())
        assert status == 201, said

    def job(self, job_id: str) -> Any:
        return self.gateway.get(f"/v1/jobs/{job_id}", self.token)

    def executions(self, job_id: str) -> list[Any]:
        found: list[Any] = self.gateway.get(f"/v1/jobs/{job_id}/executions?limit=1000", self.token)["executions"]
        return found


def fleet(gateway: RunningGateway) -> list[JobDevice]:
    names = [f"worker-{number:02}" for number in range(DEVICES)]
    return [JobDevice(name, gateway.add_device(name)) for name in names]


@contextmanager
def connected(gateway: RunningGateway, devices: list[JobDevice]) -> Iterator[None]:
    for device in devices:
        device.connect(gateway)
    try:
        for device in devices:
            device.ask()
        yield
    finally:
        for device in devices:
            device.leave()


def test_every_device_gets_the_job_once_whatever_is_killed_when(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path)
    gateway.wait_ready()
    devices = fleet(gateway)
    operator = Operator(gateway)
    operator.make("first")
    operator.make("second")
    # Killed while the jobs are being handed out, and again while devices report.
    for reports in (0, 1, 30):
        with connected(gateway, devices):
            until(lambda: sum(len(device.reported) for device in devices) >= reports)  # noqa: B023  asked at once
            gateway.end(signal.SIGKILL)
        gateway = RunningGateway(tmp_path)
        gateway.wait_ready()
    try:
        operator = Operator(gateway)
        with connected(gateway, devices):
            for job_id in ("first", "second"):
                until(lambda: operator.job(job_id)["state"] == "completed")  # noqa: B023  asked at once
                ledger = operator.executions(job_id)
                assert len(ledger) == DEVICES
                assert {(one["state"], one["try_number"]) for one in ledger} == {("succeeded", 1)}
                assert len({one["device_id"] for one in ledger}) == DEVICES
        for device in devices:
            assert set(device.begun) == {("first", 1), ("second", 1)}
            # What the gateway has taken is never offered again.
            assert max(Counter(device.reported).values(), default=1) == 1
    finally:
        gateway.end()


def test_the_pace_holds_over_a_death_and_failures_end_the_job(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path)
    gateway.wait_ready()
    devices = fleet(gateway)
    operator = Operator(gateway)
    rule = {"failure": "failed", "percent": 50, "executed_count": 10}
    operator.make("risky", per_minute=20, abort=[rule])
    until(lambda: operator.job("risky")["progress"]["queued"] == 20)
    gateway.end(signal.SIGKILL)
    with running(tmp_path) as gateway:
        operator = Operator(gateway)
        # The same gateway would hand out thirty more at once if it had forgotten the first twenty.
        operator.make("marker", targets={"devices": ["worker-49"]})
        until(lambda: operator.job("marker")["progress"]["queued"] == 1)
        progress = operator.job("risky")["progress"]
        assert (progress["queued"], progress["waiting"]) == (20, 30)
        chosen = {one["device_id"] for one in operator.executions("risky")}
        failing = [device for device in devices if device.device_id in sorted(chosen)[:10]]
        for device in failing:
            device.outcome = "FAILED"
        with connected(gateway, failing):
            until(lambda: operator.job("risky")["state"] == "cancelled")
            until(lambda: operator.job("risky")["progress"]["queued"] == 0)
        job = operator.job("risky")
        assert job["reason"] == "10 of 10 devices failed, 50 % are the limit"
        assert (job["progress"]["failed"], job["progress"]["cancelled"], job["progress"]["waiting"]) == (10, 10, 0)
        assert len(operator.executions("risky")) == 20
