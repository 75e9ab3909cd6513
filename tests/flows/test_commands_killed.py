"""The gateway is killed at any moment: no execution id is done twice, and no answer that was acknowledged is lost."""

import http.client
import json
import signal
import threading
from pathlib import Path

import pytest

from tests.flows.command_devices import CommandDevice, Operator, until
from tests.flows.running import RunningGateway, running

DEVICES = 3
KILL_AFTER_S = (0.3, 0.05, 0.6, 0.15)


def started(folder: Path) -> RunningGateway:
    gateway = RunningGateway(folder)
    gateway.wait_ready()
    return gateway


def keep_sending(operator: Operator, devices: list[CommandDevice], made: list[str], stop: threading.Event) -> None:
    """Send commands until the gateway is gone; remember those that it has answered for."""
    number = 0
    while not stop.is_set():
        try:
            told = operator.send(devices[number % DEVICES].device_id, start_timeout_s=1)
        except (OSError, http.client.HTTPException):
            return
        made.append(told["execution_id"])
        number += 1


def until_killed(gateway: RunningGateway, devices: list[CommandDevice], made: list[str], after_s: float) -> None:
    """Send commands to devices that are connected, and kill the gateway meanwhile."""
    for device in devices:
        device.connect(gateway)
    stop = threading.Event()
    before = len(made)
    sending = threading.Thread(target=keep_sending, args=(Operator(gateway), devices, made, stop))
    sending.start()
    until(lambda: len(made) > before)
    stop.wait(after_s)
    gateway.end(signal.SIGKILL)
    stop.set()
    sending.join(30)
    for device in devices:
        device.forget()


def check_ledger(operator: Operator, devices: list[CommandDevice], made: list[str]) -> None:
    """Every command that the gateway has answered for has come to an end that is true."""
    for execution_id in made:
        told = operator.wait(execution_id, "succeeded", "timed_out")
        count = sum(device.counts[execution_id] for device in devices)
        if told["state"] == "succeeded":
            assert count == 1
        else:
            assert count <= 1
            assert (told["reason_code"], told["offered_at"] is None) == ("NOT_CONFIRMED", False), told


@pytest.mark.timeout(180)
def test_whatever_is_killed_when_nothing_is_done_twice_and_no_answer_is_lost(tmp_path: Path) -> None:
    gateway = started(tmp_path)
    # One keeps its session: what is in flight in it must not come back, either.
    devices = [
        CommandDevice(name, gateway.add_device(name), (f"cmd/{name}/request/+",), keeps=name == "worker-0")
        for name in (f"worker-{number}" for number in range(DEVICES))
    ]
    made: list[str] = []
    for kill_after_s in KILL_AFTER_S:
        until_killed(gateway, devices, made, kill_after_s)
        gateway = started(tmp_path)
    operator = Operator(gateway)
    for device in devices:
        device.connect(gateway)
    try:
        assert len(made) > len(KILL_AFTER_S)
        check_ledger(operator, devices, made)
        assert {count for device in devices for count in device.counts.values()} == {1}
        answered = [execution_id for device in devices for execution_id in device.answered]
        assert answered
        assert {operator.command(one)["state"] for one in answered} == {"succeeded"}
    finally:
        for device in devices:
            device.close()
        gateway.end()


def test_what_may_be_repeated_is_repeated_and_marked(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        operator = Operator(gateway)
        deaf = CommandDevice("deaf", gateway.add_device("deaf"), ("cmd/deaf/request/+",), keeps=True)
        states = {}
        for may_repeat in (False, True):
            # It has the message and never answers for it.
            deaf.acknowledges = False
            deaf.answer = lambda _id, _payload: None
            deaf.connect(gateway)
            command = operator.send("deaf", may_repeat=may_repeat)["execution_id"]
            assert operator.wait(command, "sent")["acknowledged_at"] is None
            deaf.wait(lambda one, wanted=command: one.counts[wanted] == 1)  # type: ignore[misc]
            deaf.close()
            deaf.acknowledges = True
            deaf.answer = lambda _id, _payload: b""
            marker = operator.send("deaf", priority=-1)["execution_id"]
            deaf.connect(gateway)
            operator.wait(marker, "succeeded")
            told = operator.command(command)
            states[may_repeat] = (told["state"], told["is_repeated"], deaf.counts[command])
            deaf.close()
        assert states == {False: ("sent", False, 1), True: ("succeeded", True, 2)}
        repeated = [json.loads(message.payload)["is_repeated"] for message in deaf.messages]
        assert repeated == [False, False, False, True, False]
