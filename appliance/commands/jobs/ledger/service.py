"""Executions inside one transaction: what is asked for is written, and what has to be told of it is gathered.

Rules: nothing here changes but the database; whoever opens a ledger closes it last, and does on the loop what that
gives. Devices hear once per transaction what has become of their list, events are told of each end.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from appliance.commands.jobs import answers, events, notices, queries, requests, ruling
from appliance.commands.jobs.answers import Document
from appliance.commands.jobs.model import (
    PIECE,
    CommandJob,
    Execution,
    ExecutionChange,
    ExecutionsChanged,
    ExecutionState,
    Fault,
    HandedOut,
    JobAnswer,
    JobOutline,
    JobState,
    RejectedError,
    Retries,
    Window,
)
from appliance.commands.jobs.notices import Notice, Publish
from appliance.commands.jobs.requests import Request
from appliance.commands.jobs.ruling import IsOpen
from appliance.commands.jobs.topics import NEXT, Api, JobAddress
from appliance.errors import kind_of, place_of
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Afterwards, is_sqlites

log = logging.getLogger(__name__)

Announce = Callable[[Sequence[ExecutionsChanged]], object]
Ended = Callable[[sqlite3.Connection, int, int, int], Afterwards]
"""Told, in the transaction, of a job of which executions have ended: tenant, job number, now."""

Followed = Callable[[sqlite3.Connection, Sequence[ExecutionChange], int], Afterwards]
"""Told, in the transaction and in their order, of all changes of executions whose jobs were made for commands."""


class Ports(msgspec.Struct, frozen=True):
    """What a ledger needs of the world."""

    open_limit: int
    is_open: IsOpen
    publish: Publish
    ended: Ended
    followed: Followed
    announce: Announce
    timer_set: Afterwards
    """Called where a timer was set, or ended before its time."""
    puzzled: Callable[[int, str], object]
    """Told of a device that could not be answered by a mistake of the gateway."""


class Ledger:
    """The executions of every tenant, while a transaction lasts."""

    def __init__(self, connection: sqlite3.Connection, now: int, running_ms: int, ports: Ports) -> None:
        self._connection = connection
        self._now = now
        self._running_ms = running_ms
        self._ports = ports
        self._before: dict[tuple[int, str], list[Execution]] = {}
        """What devices were shown before anything was done, of those of which something was."""
        self._open: dict[tuple[int, str], list[Execution]] = {}
        """What devices have not ended: read once, however often they ask."""
        self._events: list[tuple[int, str, bytes]] = []
        self._ended: dict[tuple[int, int], None] = {}
        self._followed: list[ExecutionChange] = []
        self._outlines: dict[int, JobOutline | None] = {}
        self._has_set_timer = False
        self._puzzled: dict[tuple[int, str], None] = {}

    # For devices.

    def answer(self, tenant_id: int, address: JobAddress, payload: bytes, *, is_quoted: bool = False) -> JobAnswer:
        """Do what a device asks for; a document is written as a string where it is to be quoted."""
        token = None
        try:
            said = requests.body(payload)
            token = requests.token_of(said)
            request = requests.read(address, said)
            return JobAnswer(None, self._answered(tenant_id, address, request, is_quoted=is_quoted))
        except RejectedError as error:
            return JobAnswer(error.fault.value, answers.rejected(error, self._now, token))
        except Exception as error:
            if is_sqlites(error):
                raise
            # One bad request stops nobody, and its own words are not logged.
            told = (tenant_id, address.device_id, kind_of(error), place_of(error))
            log.error("request for jobs not served tenant_id=%s device_id=%s error=%s where=\n%s", *told)  # noqa: TRY400
            self._puzzled[tenant_id, address.device_id] = None
            return answers.unforeseen(self._now, token)

    # For whoever owns the jobs.

    def hand_out(self, tenant_id: int, job_number: int, device_ids: Iterable[str]) -> HandedOut:
        """Queue a job for devices; who is unknown, retired or had it before is left out."""
        given, full = [], []
        for device_id in device_ids:
            if not queries.select_is_deliverable(self._connection, tenant_id, job_number, device_id):
                continue
            if queries.select_open_count(self._connection, tenant_id, device_id) >= self._ports.open_limit:
                full.append(device_id)
                continue
            self._queue((tenant_id, job_number, device_id, 1))
            given.append(device_id)
        return HandedOut(tuple(given), tuple(full))

    def cancel(self, tenant_id: int, job_number: int, reason: str, *, force: bool) -> int:
        """Call back a piece of a job's executions: queued ones, with force also those in progress; gives how many."""
        piece = queries.select_queued_of_job(self._connection, tenant_id, job_number, 0, PIECE)
        if force and len(piece) < PIECE:
            piece += queries.select_begun_of_job(self._connection, tenant_id, job_number, PIECE - len(piece))
        for one in piece:
            self.write(one, ruling.cancelled(one, reason, self._now, force=force))
        return len(piece)

    def remove(self, tenant_id: int, job_number: int, device_ids: Iterable[str], reason: str) -> int:
        """Take what is queued back from devices that are none of the job's any more; gives how many."""
        wanted = set(device_ids)
        count = 0
        for device_id in sorted(wanted):
            for one in self._opened(tenant_id, device_id):
                if one.job_number == job_number and one.state is ExecutionState.QUEUED:
                    self.write(one, ruling.removed(one, reason, self._now))
                    count += 1
        return count

    def remove_device(self, tenant_id: int, device_id: str, reason: str) -> int:
        """Take everything that is open back from a device that is in use no more; gives how much."""
        opened = self._opened(tenant_id, device_id)
        for one in opened:
            self.write(one, ruling.removed(one, reason, self._now))
        return len(opened)

    def delete(self, tenant_id: int, job_number: int) -> int:
        """Forget a piece of a job's executions; gives how many."""
        piece = queries.select_any_of_job(self._connection, tenant_id, job_number, PIECE)
        for one in piece:
            self._delete(one)
        return len(piece)

    def counts(self, tenant_id: int, job_number: int) -> dict[ExecutionState, int]:
        """Devices of a job by what became of their latest try."""
        return queries.select_counts_now(self._connection, tenant_id, job_number)

    # For commands.

    def order(self, tenant_id: int, job: CommandJob) -> Execution | None:
        """Queue a job of its own for a device; None where another job has the id, or no such device may have work."""
        if not queries.select_is_there(self._connection, tenant_id, job.device_id):
            return None
        job_number = queries.insert_command_job(self._connection, tenant_id, job, self._now)
        if job_number is None:
            return None
        self._queue((tenant_id, job_number, job.device_id, 1))
        queued = queries.select_try(self._connection, tenant_id, job.job_id, job.device_id, 1)
        self._followed.append(ExecutionChange(None, queued))
        return queued

    def recall(self, tenant_id: int, job_id: str, device_id: str, reason: str, *, force: bool) -> bool:
        """Call back what was ordered, with force also what is in progress; gives whether it was."""
        known = queries.select_try(self._connection, tenant_id, job_id, device_id, None)
        if known is None or not known.is_command or not known.state.is_open:
            return False
        if known.state is ExecutionState.IN_PROGRESS and not force:
            return False
        self.write(known, ruling.cancelled(known, reason, self._now, force=force))
        return True

    # One at a time.

    def write(self, execution: Execution, changed: Execution) -> None:
        """Keep what has become of an execution; try again what failed, as far as its job says so."""
        self._touch(execution.tenant_id, execution.device_id)
        queries.update_execution(self._connection, changed)
        self._replace(execution, [changed] if changed.state.is_open else [])
        if changed.is_command:
            self._followed.append(ExecutionChange(execution, changed))
        if execution.due_ms != changed.due_ms:
            self._has_set_timer = True
        word = events.word_of(changed.state)
        if word is not None:
            self._tell(changed, word)
            if not self._is_tried_again(changed):
                self._end(changed)

    def forget(self, execution: Execution) -> None:
        """Delete an execution; its device has had the job all the same, and is not offered it again."""
        key = (execution.tenant_id, execution.job_number, execution.device_id)
        queries.insert_forgotten(self._connection, *key)
        self._delete(execution)

    def _delete(self, execution: Execution) -> None:
        self._touch(execution.tenant_id, execution.device_id)
        queries.delete_execution(self._connection, execution.tenant_id, execution.execution_id)
        self._replace(execution, [])
        self._tell(execution, events.DELETED)
        if execution.is_command:
            self._followed.append(ExecutionChange(execution, None))
        if execution.state.is_open:
            self._end(execution)
            self._has_set_timer |= execution.due_ms is not None

    def time_out(self) -> int:
        """End a piece of what has run out of time, of every tenant; gives how many."""
        due = queries.select_due(self._connection, self._running_ms, PIECE)
        for one in due:
            self.write(one, ruling.timed_out(one, self._now))
        return len(due)

    def show(self, tenant_id: int, executions: Sequence[Execution]) -> None:
        """Have devices told of their lists: the windows of these have opened or shut, and nothing else has changed."""
        for one in executions:
            self._before.setdefault((tenant_id, one.device_id), self._before_turn(one))

    def close(self) -> Afterwards:
        """What is to be done on the loop once all of this is on disk."""
        if self._has_set_timer:
            queries.save_running_time(self._connection, DEFAULT_TENANT, self._running_ms)
        told, ports, now, running_ms = self._events, self._ports, self._now, self._running_ms
        rest: list[Callable[[], object]] = []
        if self._followed:
            rest.append(ports.followed(self._connection, self._followed, now))
        rest += [ports.ended(self._connection, *job, now) for job in self._ended]
        heard = [found for key, before in self._before.items() if (found := self._heard(*key, before)) is not None]
        rest += [partial(ports.announce, changed)] if (changed := self._changed()) else []
        rest += [ports.timer_set] if self._has_set_timer else []
        rest += [partial(ports.puzzled, *device) for device in self._puzzled]

        def afterwards() -> None:
            for event in told:
                ports.publish(*event)
            for one in heard:
                one.tell(ports.publish, running_ms, now)
            for step in rest:
                step()

        return afterwards

    # Private.

    def _answered(self, tenant_id: int, address: JobAddress, request: Request, *, is_quoted: bool) -> bytes:
        match address.api:
            case Api.GET:
                pending = self._pending(tenant_id, address.device_id)
                return answers.listed(pending, self._now, request.client_token)
            case Api.START_NEXT:
                execution = self._start_next(tenant_id, address.device_id, request)
                return self._described(execution, request, is_wanted=True, is_quoted=is_quoted)
            case Api.DESCRIBE:
                execution = self._found(tenant_id, address, request)
                if execution is not None and not execution.state.is_open:
                    reason = f"the execution has ended: it is {execution.state.aws}"
                    raise RejectedError(Fault.TERMINAL_STATE, reason)
                is_wanted = request.with_document is not False
                return self._described(execution, request, is_wanted=is_wanted, is_quoted=is_quoted)
            case Api.UPDATE:
                return self._updated(tenant_id, address, request, is_quoted=is_quoted)

    def _start_next(self, tenant_id: int, device_id: str, request: Request) -> Execution | None:
        pending = self._pending(tenant_id, device_id)
        if not pending or pending[0].state is ExecutionState.IN_PROGRESS:
            return pending[0] if pending else None
        begun = ruling.started(pending[0], request, self._now, self._running_ms)
        self.write(pending[0], begun)
        return begun

    def _updated(self, tenant_id: int, address: JobAddress, request: Request, *, is_quoted: bool) -> bytes:
        execution = self._found(tenant_id, address, request)
        assert execution is not None  # noqa: S101  for the type checker: an update names its job
        changed = ruling.updated(execution, request, self._now, self._running_ms)
        self.write(execution, changed)
        document = self._document(execution, is_quoted=is_quoted) if request.with_document else None
        return answers.reported(changed if request.with_state else None, document, self._now, request.client_token)

    def _found(self, tenant_id: int, address: JobAddress, request: Request) -> Execution | None:
        if address.job_id == NEXT:
            return next(iter(self._pending(tenant_id, address.device_id)), None)
        key = (tenant_id, address.job_id, address.device_id, request.try_number)
        execution = queries.select_try(self._connection, *key)
        if execution is None:
            raise RejectedError(Fault.NOT_FOUND, f"the job {address.job_id} is none of this device")
        return execution

    def _described(self, execution: Execution | None, request: Request, *, is_wanted: bool, is_quoted: bool) -> bytes:
        document = self._document(execution, is_quoted=is_quoted) if execution and is_wanted else None
        return answers.described(execution, document, self._running_ms, self._now, request.client_token)

    def _document(self, execution: Execution, *, is_quoted: bool) -> Document:
        outline = self._job(execution.tenant_id, execution.job_number)
        return Document(outline.document if outline else b"{}", is_quoted)

    def _is_tried_again(self, ended: Execution) -> bool:
        if ended.terms.retries == Retries():
            return False
        outline = self._job(ended.tenant_id, ended.job_number)
        if outline is None or not outline.state.is_going_on:
            return False
        if not ruling.is_tried_again(ended, queries.select_failures(self._connection, ended)):
            return False
        queries.update_execution(self._connection, msgspec.structs.replace(ended, is_retried=True))
        self._queue((ended.tenant_id, ended.job_number, ended.device_id, ended.try_number + 1))
        return True

    def _end(self, ended: Execution) -> None:
        """Have it known that nothing follows an execution; a job that was made for it ends with it."""
        if not ended.is_command:
            self._ended[ended.tenant_id, ended.job_number] = None
            return
        is_off = ended.state.is_open or ended.state in (ExecutionState.CANCELLED, ExecutionState.REMOVED)
        state = JobState.CANCELLED if is_off else JobState.COMPLETED
        queries.end_command_job(self._connection, ended.tenant_id, ended.job_number, state, self._now)

    def _job(self, tenant_id: int, job_number: int) -> JobOutline | None:
        if job_number not in self._outlines:
            self._outlines[job_number] = queries.select_outline(self._connection, tenant_id, job_number)
        return self._outlines[job_number]

    def _pending(self, tenant_id: int, device_id: str) -> list[Execution]:
        return ruling.pending(self._opened(tenant_id, device_id), self._ports.is_open, self._now)

    def _opened(self, tenant_id: int, device_id: str) -> list[Execution]:
        """What a device has not ended, oldest first."""
        key = (tenant_id, device_id)
        if key not in self._open:
            self._open[key] = queries.select_open(self._connection, tenant_id, device_id)
        return self._open[key]

    def _queue(self, key: tuple[int, int, str, int]) -> None:
        """Queue a try of a job on a device: tenant, job number, device, which try."""
        tenant_id, _, device_id, _ = key
        self._touch(tenant_id, device_id)
        queries.insert_execution(self._connection, *key, self._now)
        self._open.pop((tenant_id, device_id), None)

    def _replace(self, known: Execution, by: Sequence[Execution]) -> None:
        """Keep in mind what there is instead of an execution; whoever goes through the list goes on with the old."""
        key = (known.tenant_id, known.device_id)
        if key in self._open:
            was = self._open[key]
            self._open[key] = [new for one in was for new in (by if one.execution_id == known.execution_id else (one,))]

    def _before_turn(self, turned: Execution) -> list[Execution]:
        """What its device was shown before the windows of an execution opened or shut."""

        def was_open(windows: tuple[Window, ...], now: int) -> bool:
            return self._ports.is_open(windows, now) is not (windows == turned.terms.windows)

        opened = self._opened(turned.tenant_id, turned.device_id)
        return ruling.pending(opened, was_open, self._now)

    def _touch(self, tenant_id: int, device_id: str) -> None:
        """Remember what a device was shown before the first change."""
        if (tenant_id, device_id) not in self._before:
            self._before[tenant_id, device_id] = self._pending(tenant_id, device_id)

    def _tell(self, execution: Execution, word: str) -> None:
        topic = events.topic(execution.job_id, word)
        self._events.append((execution.tenant_id, topic, events.payload(execution, word, self._now)))

    def _changed(self) -> list[ExecutionsChanged]:
        by_tenant: dict[int, list[str]] = {}
        for tenant_id, device_id in self._before:
            by_tenant.setdefault(tenant_id, []).append(device_id)
        return [ExecutionsChanged(tenant_id, tuple(devices)) for tenant_id, devices in by_tenant.items()]

    def _heard(self, tenant_id: int, device_id: str, before: Sequence[Execution]) -> Notice | None:
        after = self._pending(tenant_id, device_id)
        changed = notices.changed(before, after)
        if not changed.is_list and not changed.is_first:
            return None
        outline = self._job(tenant_id, after[0].job_number) if after and changed.is_first else None
        return Notice(tenant_id, device_id, changed, after, outline.document if outline else b"{}")
