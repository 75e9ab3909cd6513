"""Deaths in the middle of shadow updates, commands and jobs: what was answered is so, and nothing is done twice.

A few of them run each time; many with `./headworks test -m slow tests/flows/test_faults_plane.py`.
"""

import json
import os
import random
import shutil
import signal
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from bench.faults_death import made_card, mounted
from tests.flows.plane_load import COUNT, STEPS, WAIT_S, Worker
from tests.flows.powerless import not_done
from tests.flows.running import RunningGateway

pytestmark = pytest.mark.timeout(240)

DEVICES = 4
CARD_BYTES = 128 * 1024 * 1024
SETTINGS = """
[shadows]
history_changes = 100000
[commands]
open_per_device = 1000
[ingestion]
commit_interval_ms = 10
[telemetry]
reserve_mb = 4
"""
LARGEST_ROUND = 400
"""The most that devices hear before a death."""


class Person:
    """Whoever asks for things over /v1, one after the other, and says it again when there was no answer."""

    def __init__(self, device_ids: list[str]) -> None:
        self.device_ids = device_ids
        self.problems: list[str] = []
        self._number = 0

    def meet(self, gateway: RunningGateway, token: str) -> None:
        trust = ssl.create_default_context(cafile=str(gateway.data / "pki" / "web-ca.pem"))
        self._line = HTTPSConnection("localhost", gateway.web_port, timeout=20, context=trust)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def leave(self) -> None:
        self._line.close()

    def call(self, method: str, path: str, said: Any = None, key: str = "") -> Any:
        """The answer. Raises `OSError` or `HTTPException` for none."""
        body = None if said is None else json.dumps(said)
        self._line.request(method, path, body, self._headers | ({"Idempotency-Key": key} if key else {}))
        answer = self._line.getresponse()
        told = answer.read()
        if answer.status >= 300:
            self.problems.append(f"{path}: {answer.status} {told!r}")
            raise HTTPException(path)
        return json.loads(told)

    def live(self) -> None:
        """Ask for one thing after the other until nobody answers any more."""
        with suppress(OSError, HTTPException):
            while True:
                self.ask_once()

    def ask_once(self) -> None:
        """Ask for what was asked for last and not answered, or for something new."""
        self._ask(self._number)
        self._number += 1

    def pages(self, path: str, name: str) -> Iterator[Any]:
        """Everything of a list."""
        # The server ends a connection on which nothing was asked for some seconds, perhaps just as it is used again.
        self._line.close()
        before = ""
        while True:
            told = self.call("GET", f"{path}limit=100{before}")
            yield from told[name]
            if told["next_before"] is None:
                return
            before = f"&before={told['next_before']}"

    def _ask(self, number: int) -> None:
        raise NotImplementedError


class Commander(Person):
    """Sends commands: one to a single device, then one to all, by turns as they are and as jobs."""

    def __init__(self, device_ids: list[str]) -> None:
        super().__init__(device_ids)
        self.single: set[str] = set()
        """Execution ids."""
        self.batches: set[str] = set()

    def _ask(self, number: int) -> None:
        wish = {"name": "turn", "may_repeat": number % 3 == 0, "dialect": "plain", "start_timeout_s": 5}
        if number // 2 % 2:
            # There is time for it: a job is asked for, so it cannot be lost on its way.
            wish = {"name": "turn", "dialect": "jobs", "start_timeout_s": 3_600}
        if number % 2:
            told = self.call("POST", "/v1/commands", {"command": wish, "device_ids": self.device_ids}, f"key-{number}")
            self.batches.add(told["batch_id"])
        else:
            device_id = self.device_ids[number // 2 % DEVICES]
            told = self.call("POST", f"/v1/devices/{device_id}/commands", wish, f"key-{number}")
            self.single.add(told["execution_id"])


class Planner(Person):
    """Makes jobs for all devices, and desires something of each in between."""

    def __init__(self, device_ids: list[str]) -> None:
        super().__init__(device_ids)
        self.jobs: set[str] = set()
        self.desired: dict[str, dict[int, int]] = {device_id: {} for device_id in device_ids}
        """What was desired by the version that it was answered with."""

    def _ask(self, number: int) -> None:
        if number % 3 == 0:
            job_id, targets = f"job-{number}", {"devices": self.device_ids}
            self.call("POST", "/v1/jobs", {"job_id": job_id, "document": {"number": number}, "targets": targets})
            self.jobs.add(job_id)
        else:
            device_id = self.device_ids[number % DEVICES]
            told = self.call("POST", f"/v1/devices/{device_id}/shadow", {"state": {"desired": {"d": number}}})
            self.desired[device_id][told["version"]] = number


class Course:
    """The lives and deaths of one gateway, and those who go on."""

    def __init__(self, folder: Path, seed: int, card: Path | None = None) -> None:
        self._folder, self._card = folder / "gateway", card
        self._copy = folder / "after.img"
        self._chance = random.Random(seed)  # noqa: S311  a load, no secret
        self._bundles = folder / "bundles"
        names = [f"worker-{number}" for number in range(DEVICES)]
        self.commander, self.planner = self.people = Commander(names), Planner(names)
        self._prepare(names)
        self.workers = [
            # Of each pair one keeps its session.
            Worker(name, self._bundles / name, version=(5, 3)[place // 2], keeps=place % 2 == 0)
            for place, name in enumerate(names)
        ]

    def live(self) -> None:
        """Be there under load, and die in the middle of it."""
        with self._inserted(), ExitStack() as ending:
            gateway = self._started()
            for person in self.people:
                ending.callback(person.leave)
            ending.callback(gateway.end, signal.SIGKILL)
            self._require_kept()
            for worker in self.workers:
                ending.callback(worker.lose)
                worker.connect(gateway)
            goal = self._heard() + self._chance.randint(LARGEST_ROUND // 20, LARGEST_ROUND)
            for person in self.people:
                asking = threading.Thread(target=person.live)
                ending.callback(asking.join, WAIT_S)
                asking.start()
            # Dead before anybody lets go of it.
            ending.callback(gateway.end, signal.SIGKILL)
            until(lambda: self._heard() >= goal, self._told)
            if self._card is not None:
                # What the device holds is what was pushed out by a sync: the page cache does not survive this.
                gateway.process.send_signal(signal.SIGSTOP)
                shutil.copyfile(self._card, self._copy)
        if self._card is not None:
            self._copy.replace(self._card)

    def end(self) -> None:
        """Let everything come to its end, and look whether all of it is true."""
        with self._inserted(), ExitStack() as ending:
            gateway = self._started()
            for person in self.people:
                ending.callback(person.leave)
            ending.callback(gateway.end, signal.SIGKILL)
            self._require_kept()
            for worker in self.workers:
                worker.calm_down()
                worker.connect(gateway)
                ending.callback(worker.lose)
            until(lambda: all(worker.is_settled for worker in self.workers), self._told)
            for person in self.people:
                person.ask_once()
            for job_id in self.planner.jobs:
                until(lambda: self._job(job_id)["state"] == "completed", self._told)  # noqa: B023  asked at once
            for worker in self.workers:
                until(lambda: worker.orders.taken == set(worker.orders.came), self._told)  # noqa: B023  the same
            until(lambda: all(one["ended_at"] for one in self._ledger()), self._told)
            assert not self._told()
            for worker in self.workers:
                self._require_shadows(worker)
                self._require_work(worker)
            self._require_commands()

    @property
    def output(self) -> str:
        """What the last gateway has printed."""
        return self._gateway.output

    def _prepare(self, names: list[str]) -> None:
        with self._inserted():
            gateway = self._started()
            for name in names:
                shutil.copytree(gateway.add_device(name), self._bundles / name)
            gateway.end()

    def _started(self) -> RunningGateway:
        gateway = self._gateway = RunningGateway(self._folder, SETTINGS)
        gateway.wait_ready()
        token = gateway.token()
        for person in self.people:
            person.meet(gateway, token)
        return gateway

    def _inserted(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._card is None else mounted(self._card, self._folder)

    def _heard(self) -> int:
        return sum(worker.heard for worker in self.workers)

    def _told(self) -> list[str]:
        """What cannot be, of all that was told."""
        return [
            *self.commander.problems,
            *self.planner.problems,
            *(fault for worker in self.workers for fault in worker.faults),
        ]

    def _job(self, job_id: str) -> Any:
        return self.planner.call("GET", f"/v1/jobs/{job_id}")

    def _ledger(self) -> list[Any]:
        return list(self.commander.pages("/v1/commands?", "commands"))

    def _shadow(self, device_id: str, name: str) -> Any:
        return self.planner.call("GET", f"/v1/devices/{device_id}/shadow?name={name}")

    def _require_kept(self) -> None:
        """Right after a death: nothing that was answered has gone back."""
        for worker in self.workers:
            for name, answered in (("", max(worker.reports.answered, default=0)), (COUNT, worker.counting.answered)):
                assert not answered or self._shadow(worker.device_id, name)["version"] >= answered
            path = f"/v1/devices/{worker.device_id}/jobs?"
            versions = {one["job_id"]: one["version"] for one in self.planner.pages(path, "executions")}
            for job_id, version in worker.work.versions.items():
                assert versions[job_id] >= version, (worker.device_id, job_id)
        ledger = self._ledger()
        states = {one["execution_id"]: one["state"] for one in ledger}
        for worker in self.workers:
            assert {states[execution_id] for execution_id in worker.orders.taken} <= {"succeeded"}
        assert self.commander.single <= states.keys()
        assert self.commander.batches <= {one["batch_id"] for one in ledger}

    def _require_shadows(self, worker: Worker) -> None:
        """Each version is in the history once, and says what it was answered for."""
        path = f"/v1/devices/{worker.device_id}/shadow/history?"
        changes = {one["version"]: one for one in self._each_once(path)}
        reported = {version: {"reported": {"n": number}} for version, number in worker.reports.answered.items()}
        desired = self.planner.desired[worker.device_id]
        wished = {version: {"desired": {"d": number}} for version, number in desired.items()}
        assert reported.keys().isdisjoint(wished)
        for version, patch in (reported | wished).items():
            assert changes[version]["patch"] == patch
        assert {changes[version]["author"] for version in reported} <= {f"device {worker.device_id}"}
        shadow, last = self._shadow(worker.device_id, ""), changes[max(changes)]
        assert (shadow["version"], shadow["reported"]) == (last["version"], last["reported"])
        counted = self._each_once(f"{path}name={COUNT}&")
        assert all(one["reported"] == {"n": one["version"]} for one in counted)
        assert counted[0]["version"] == worker.counting.answered > 0

    def _each_once(self, path: str) -> list[Any]:
        changes = list(self.planner.pages(path, "changes"))
        assert [one["version"] for one in changes] == [*range(len(changes), 0, -1)]
        return changes

    def _require_work(self, worker: Worker) -> None:
        """Every job was done, once, and ended with the version that so many reports make; commands may be jobs."""
        work = worker.work
        ordered = {one["execution_id"] for one in self._ledger() if one["dialect"] == "jobs"}
        assert self.planner.jobs <= work.finished <= self.planner.jobs | ordered
        assert set(work.begun.values()) <= {1}
        executions = list(self.planner.pages(f"/v1/devices/{worker.device_id}/jobs?", "executions"))
        assert Counter(one["job_id"] for one in executions) == dict.fromkeys(work.finished, 1)
        for one in executions:
            assert (one["state"], one["try_number"], one["version"]) == ("succeeded", 1, 3 + STEPS), one
            assert (one["details"], work.versions[one["job_id"]]) == ({"step": str(STEPS + 1)}, 3 + STEPS), one

    def _require_commands(self) -> None:
        """Each was done at most once, or may be repeated and says so; whatever was done has succeeded."""
        orders = {worker.device_id: worker.orders for worker in self.workers}
        works = {worker.device_id: worker.work for worker in self.workers}
        ledger = self._ledger()
        # Sent again with its key it is the same command.
        assert {one["execution_id"] for one in ledger if one["batch_id"] is None} == self.commander.single
        batched = sorted((one["batch_id"], one["device_id"]) for one in ledger if one["batch_id"])
        assert batched == sorted((batch_id, name) for batch_id in self.commander.batches for name in orders)
        for one in ledger:
            execution_id, done = one["execution_id"], orders[one["device_id"]]
            came, marked = done.came[execution_id], done.marked[execution_id]
            assert came - marked <= 1, one
            assert not marked or one["may_repeat"], one
            if one["dialect"] == "jobs":
                assert (one["state"], came) == ("succeeded", 0), one
                assert execution_id in works[one["device_id"]].finished
            elif came:
                assert (one["state"], one["result"]) == ("succeeded", {"of": execution_id}), one
            elif not one["may_repeat"]:
                # It was being written when the gateway died, and nobody knows whether it arrived.
                assert (one["state"], one["reason_code"]) == ("timed_out", "NOT_CONFIRMED"), one
                assert one["offered_at"], one
            else:
                pytest.fail(f"was never repeated: {one}")
        assert all(done.came for done in orders.values())


def until(is_so: Callable[[], object], problems: Callable[[], list[str]]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert not problems()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def lasting(folder: Path, seed: int, card: Path | None = None) -> Iterator[Course]:
    """A course that says what it was, and what the gateway said, if something is wrong."""
    course = Course(folder, seed, card)
    try:
        yield course
    except Exception as error:
        error.add_note(f"seed {seed}; {course.output[-4_000:]}")
        raise


@pytest.fixture
def card(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        not_done("only root may mount")
    try:
        made = made_card(tmp_path / "card.img", CARD_BYTES)
        with mounted(made, tmp_path / "probe"):
            pass
    except OSError as error:
        not_done(f"no file system can be mounted here: {error}")
    return made


def test_whenever_it_is_killed_what_was_answered_is_so_and_nothing_is_done_twice(tmp_path: Path) -> None:
    with lasting(tmp_path, 20_260_701) as course:
        for _ in range(3):
            course.live()
        course.end()


def test_whenever_the_power_goes_what_was_answered_is_so_and_nothing_is_done_twice(tmp_path: Path, card: Path) -> None:
    with lasting(tmp_path, 20_260_702, card) as course:
        for _ in range(2):
            course.live()
        course.end()


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    with lasting(tmp_path, seed) as course:
        for _ in range(20):
            course.live()
        course.end()


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_without_power_again_and_again(tmp_path: Path, card: Path) -> None:
    with lasting(tmp_path, 4, card) as course:
        for _ in range(15):
            course.live()
        course.end()
