"""A live load on shadows, commands and jobs: devices with a memory of their own, which outlives every gateway."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.flows.running import RunningGateway, end_client

WAIT_S = 60.0
WINDOW = 2
STEPS = 2
COUNT = "count"
"""The shadow that has a number that must be its version."""


class Line:
    """What the duties of a device say things by; a new one for each life of the gateway."""

    def __init__(self, client: paho.Client) -> None:
        self._client = client
        self.taken: dict[int, Callable[[], None]] = {}
        """What is to be done once a message was acknowledged, by packet identifier."""

    def say(self, topic: str, said: Any, taken: Callable[[], None] | None = None) -> None:
        # All is said from the thread that hears of acknowledgements, so none can come before this is noted.
        mid = self._client.publish(topic, json.dumps(said), 1).mid
        if taken is not None:
            self.taken[mid] = taken


class Reports:
    """The classic shadow: a running number, some at once; what was not answered is simply sent again."""

    def __init__(self, device_id: str) -> None:
        self._topic = f"$aws/things/{device_id}/shadow/update"
        self.answered: dict[int, int] = {}
        """The number by the version that its update was answered with."""
        self.unanswered: dict[int, None] = {}
        self._asked: dict[str, int] = {}
        self._number = 0
        self._tokens = count()

    def begin(self, line: Line) -> None:
        for number in self.unanswered:
            self._ask(line, number)

    def fill(self, line: Line) -> None:
        """Report more."""
        while len(self.unanswered) < WINDOW:
            self._number += 1
            self.unanswered[self._number] = None
            self._ask(line, self._number)

    def hear(self, said: Any) -> None:
        # Others hear of each other's updates, too, and a kept session of what was asked before.
        number = self._asked.get(said.get("clientToken", ""))
        if number is not None:
            self.answered[said["version"]] = number
            self.unanswered.pop(number, None)

    def _ask(self, line: Line, number: int) -> None:
        token = f"{number}.{next(self._tokens)}"
        self._asked[token] = number
        line.say(self._topic, {"state": {"reported": {"n": number}}, "clientToken": token})


class Counting:
    """A named shadow of which each update names the version before: its number is its version, whatever happens."""

    def __init__(self, device_id: str, faults: list[str]) -> None:
        self._topic = f"$aws/things/{device_id}/shadow/name/{COUNT}"
        self._faults = faults
        self.answered = 0
        self.asked = 0
        self._token = ""
        self._tokens = count()

    @property
    def is_settled(self) -> bool:
        return self.asked == self.answered

    def begin(self, line: Line) -> None:
        """Say again what was not answered: if it was done, the version says so. Without a version, look first."""
        if self.asked > 1 and not self.is_settled:
            self._update(line)
        else:
            self._ask(line, "get", {})

    def go_on(self, line: Line) -> None:
        if self.is_settled and not self._token:
            self.asked += 1
            self._update(line)

    def hear(self, line: Line, asked: str, said: Any) -> None:
        if said.get("clientToken") != self._token:
            return
        self._token = ""
        match asked:
            case "update/accepted":
                self._stands_at(said["version"], self.asked)
            case "update/rejected" if said["code"] == 409:
                self._ask(line, "get", {})
            case "get/accepted":
                self._stands_at(said["version"], said["state"]["reported"]["n"])
                if not self.is_settled:
                    self._update(line)
            case "get/rejected" if said["code"] == 404 and not self.answered:
                if self.asked:
                    self._update(line)
            case _:
                self._faults.append(f"{self._topic}/{asked}: {said}, {self.answered} was answered")

    def _stands_at(self, version: int, number: int) -> None:
        if version != number or version not in {self.answered, self.asked}:
            self._faults.append(f"{self._topic}: {number} in version {version}, {self.answered} was answered")
        self.answered = version

    def _update(self, line: Line) -> None:
        before = {"version": self.asked - 1} if self.asked > 1 else {}
        self._ask(line, "update", {"state": {"reported": {"n": self.asked}}, **before})

    def _ask(self, line: Line, verb: str, said: dict[str, Any]) -> None:
        self._token = f"{verb}.{next(self._tokens)}"
        line.say(f"{self._topic}/{verb}", {**said, "clientToken": self._token})


class Orders:
    """Commands: each is done when it comes, once, and its answer is repeated until it was taken."""

    def __init__(self, device_id: str) -> None:
        self._topic = f"cmd/{device_id}/response"
        self.came: Counter[str] = Counter()
        self.marked: Counter[str] = Counter()
        """How often it came marked as repeated."""
        self.taken: set[str] = set()
        """Those of which the gateway has acknowledged the answer."""

    def begin(self, line: Line) -> None:
        for execution_id in self.came.keys() - self.taken:
            self._answer(line, execution_id)

    def hear(self, line: Line, said: Any) -> None:
        execution_id = said["execution_id"]
        self.came[execution_id] += 1
        self.marked[execution_id] += said["is_repeated"]
        self._answer(line, execution_id)

    def _answer(self, line: Line, execution_id: str) -> None:
        said = {"status": "succeeded", "result": {"of": execution_id}}
        line.say(f"{self._topic}/{execution_id}", said, lambda: self.taken.add(execution_id))


class Work:
    """Jobs: begun one after the other, reported step by step, each step upon the version before."""

    def __init__(self, device_id: str, faults: list[str]) -> None:
        self._topic = f"$aws/things/{device_id}/jobs"
        self._faults = faults
        self.begun: Counter[str] = Counter()
        self.finished: set[str] = set()
        self.versions: dict[str, int] = {}
        """Which version of each job the gateway has answered for."""
        self._job_id = ""
        self._step = 0
        self._token = ""
        self._tokens = count()

    def begin(self, line: Line) -> None:
        """What was not answered may have been done: look before going on."""
        if self._job_id:
            self._ask(line, f"{self._job_id}/get", {})
        else:
            self._ask(line, "start-next", {"statusDetails": {"step": "0"}})

    def lose(self) -> None:
        self._token = "lost"

    def told(self, line: Line, said: Any) -> None:
        """Another execution is the first."""
        if said.get("execution") and not self._token:
            self._ask(line, "start-next", {"statusDetails": {"step": "0"}})

    def hear(self, line: Line, asked: str, said: Any) -> None:
        if said.get("clientToken") != self._token:
            return
        self._token = ""
        if asked == "start-next/accepted":
            if said.get("execution"):
                self._start(line, said["execution"])
        elif asked == f"{self._job_id}/get/accepted":
            self._look(line, said["execution"])
        elif asked == f"{self._job_id}/update/accepted":
            self._went(line, said["executionState"]["versionNumber"])
        elif asked == f"{self._job_id}/get/rejected" and said["code"] == "TerminalStateReached" and self._step > STEPS:
            self._went(line, self.versions[self._job_id] + 1)
        else:
            self._faults.append(f"{self._topic}/{asked}: {said}, step {self._step} of {self._job_id}")

    def _start(self, line: Line, execution: Any) -> None:
        self._job_id, self._step = execution["jobId"], 1
        # What is begun twice or was finished is told from what it says, not from what the gateway thinks.
        self.begun[self._job_id] += 1
        self.versions[self._job_id] = execution["versionNumber"]
        state = (execution["status"], execution["versionNumber"], execution["executionNumber"])
        if state != ("IN_PROGRESS", 2, 1) or execution["statusDetails"] != {"step": "0"}:
            self._faults.append(f"{self._topic}: begun {execution}")
        self._report(line)

    def _look(self, line: Line, execution: Any) -> None:
        version, step = execution["versionNumber"], execution["statusDetails"]["step"]
        before = self.versions[self._job_id]
        if (version, step) == (before, str(self._step - 1)):
            self._report(line)
        elif (version, step) == (before + 1, str(self._step)):
            self._went(line, version)
        else:
            self._faults.append(f"{self._topic}: {execution} at step {self._step} after version {before}")

    def _went(self, line: Line, version: int) -> None:
        if version != self.versions[self._job_id] + 1:
            self._faults.append(f"{self._topic}: {self._job_id} has version {version} at step {self._step}")
        self.versions[self._job_id] = version
        self._step += 1
        if self._step <= STEPS + 1:
            self._report(line)
            return
        self.finished.add(self._job_id)
        self._job_id = ""
        self.begin(line)

    def _report(self, line: Line) -> None:
        said = {
            "status": "IN_PROGRESS" if self._step <= STEPS else "SUCCEEDED",
            "statusDetails": {"step": str(self._step)},
            "expectedVersion": self.versions[self._job_id],
            "includeJobExecutionState": True,
        }
        self._ask(line, f"{self._job_id}/update", said)

    def _ask(self, line: Line, asked: str, said: dict[str, Any]) -> None:
        self._token = f"j.{next(self._tokens)}"
        line.say(f"{self._topic}/{asked}", {**said, "clientToken": self._token})


class Worker:
    """A device with all four duties."""

    def __init__(self, device_id: str, bundle: Path, *, version: int, keeps: bool) -> None:
        self.device_id = device_id
        self.faults: list[str] = []
        """What it was told and cannot be."""
        self.reports = Reports(device_id)
        self.counting = Counting(device_id, self.faults)
        self.orders = Orders(device_id)
        self.work = Work(device_id, self.faults)
        self.heard = 0
        """How many things it has heard."""
        self.changed = threading.Condition()
        self._bundle, self._version, self._keeps = bundle, version, keeps
        self._is_lively = True
        self._client: paho.Client | None = None

    @property
    def is_settled(self) -> bool:
        return self.counting.is_settled and not self.reports.unanswered

    def connect(self, gateway: RunningGateway) -> None:
        # A session of MQTT 5 is told when it connects, one of 3.1.1 before.
        settings: dict[str, Any] = {"protocol": MQTTProtocolVersion.MQTTv5}
        options: dict[str, Any] = {"clean_start": not self._keeps, "properties": self._session()}
        if self._version == 3:
            settings, options = {"protocol": MQTTProtocolVersion.MQTTv311, "clean_session": not self._keeps}, {}
        client = paho.Client(CallbackAPIVersion.VERSION2, self.device_id, reconnect_on_failure=False, **settings)
        files = [str(self._bundle / name) for name in ("root.pem", "certificate.pem", "key.pem")]
        client.tls_set(files[0], files[1], files[2])
        line = Line(client)
        client.on_connect = lambda *_: self._guarded(client.subscribe, [(one, 1) for one in self._filters()])
        client.on_subscribe = lambda *_: self._guarded(self._begin, line)
        client.on_message = lambda _client, _data, message: self._guarded(self._hear, line, message)
        client.on_publish = lambda _client, _data, mid, *_: self._guarded(line.taken.pop(mid, lambda: None))
        client.connect("localhost", gateway.mqtt_port, keepalive=60, **options)
        self._client = client
        client.loop_start()

    def calm_down(self) -> None:
        """Report nothing new from now on."""
        self._is_lively = False

    def lose(self) -> None:
        """The gateway is gone."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            end_client(client)
        self.work.lose()

    def _session(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3_600 if self._keeps else 0
        return properties

    def _filters(self) -> list[str]:
        shadow = f"$aws/things/{self.device_id}/shadow"
        named = f"{shadow}/name/{COUNT}"
        return [
            f"{shadow}/update/accepted",
            f"{shadow}/update/rejected",
            *(f"{named}/{asked}" for asked in ("get/+", "update/accepted", "update/rejected")),
            # Answers about jobs come without being subscribed to.
            f"$aws/things/{self.device_id}/jobs/notify-next",
            f"cmd/{self.device_id}/request/+",
        ]

    def _begin(self, line: Line) -> None:
        self.reports.begin(line)
        self.counting.begin(line)
        self.orders.begin(line)
        self.work.begin(line)

    def _hear(self, line: Line, message: paho.MQTTMessage) -> None:
        said = json.loads(message.payload)
        below = message.topic.removeprefix(f"$aws/things/{self.device_id}/")
        if below == "shadow/update/accepted":
            self.reports.hear(said)
        elif below.startswith(f"shadow/name/{COUNT}/"):
            self.counting.hear(line, below.removeprefix(f"shadow/name/{COUNT}/"), said)
        elif below == "jobs/notify-next":
            self.work.told(line, said)
        elif below.startswith("jobs/"):
            self.work.hear(line, below.removeprefix("jobs/"), said)
        elif message.topic.startswith("cmd/"):
            self.orders.hear(line, said)
        else:
            self.faults.append(f"{message.topic}: {said}")
        if self._is_lively:
            self.reports.fill(line)
            self.counting.go_on(line)

    def _guarded(self, what: Callable[..., object], *arguments: Any) -> None:
        # The library prints what goes wrong in its callbacks and goes on.
        try:
            what(*arguments)
        except Exception as error:  # noqa: BLE001  told in the end
            self.faults.append(f"{self.device_id}: {error!r}")
        with self.changed:
            self.heard += 1
            self.changed.notify_all()
