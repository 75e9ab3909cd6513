import asyncio
import contextlib
import re
import socket
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from appliance import plugins
from appliance.config import Config, MqttConfig, PluginsConfig
from appliance.health import alive
from appliance.instant import DAY_MS
from appliance.parts import Parts, own_version
from appliance.process import (
    _writer_answers,
    foundation_opened,
    wall_clock,
)
from appliance.store.database import UnwritableError
from broker.listener import Endpoint, HandOver
from broker.plugins.ports import Mode
from broker.ports import Credentials, Denied, Principal, Turn
from broker.tls import DeviceTls
from tests.appliance.examples import clock, stored


def test_moments_are_milliseconds_that_do_not_stand_still() -> None:
    first = wall_clock()
    assert first > 1_700_000_000_000
    while wall_clock() == first:
        pass


async def test_storage_the_registry_and_accounts_open_together_and_keep_what_they_know(tmp_path: Path) -> None:
    config = Config(data=str(tmp_path))
    async with foundation_opened(config, clock) as foundation:
        await foundation.registry.add_device(1, "pump-1")
        assert not await foundation.accounts.has_owner(1)
    async with foundation_opened(config, clock) as foundation:
        assert [device.device_id for device in foundation.registry.devices(1)] == ["pump-1"]
    assert (tmp_path / "gateway.db").exists()
    assert (tmp_path / "pki").is_dir()


class _Renewals:
    """The parts of a process, how often the web took up certificates, and a clock."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.web_count = 0
        self.jobs = parts.jobs(self._reload_web)

    def _reload_web(self) -> None:
        self.web_count += 1

    @property
    def shown(self) -> object:
        """What a handshake that begins now is made with."""
        endpoint = self.parts.doors.endpoints(HandOver(_nobody_comes))[0]
        assert isinstance(endpoint, Endpoint)
        assert isinstance(endpoint.tls, DeviceTls)
        return endpoint.tls.context

    async def run(self, words: str) -> None:
        [(_, work)] = [job for name, job in self.jobs.items() if words in name]
        await work()


def _nobody_comes(*_: object) -> None:
    raise AssertionError


@contextlib.asynccontextmanager
async def _renewals(folder: Path, now: list[int]) -> AsyncIterator[_Renewals]:
    config = Config(data=str(folder))
    async with foundation_opened(config, lambda: now[0]) as foundation:
        wanted = plugins.read(config.plugins, ())
        yield _Renewals(Parts(config, wanted, foundation, lambda: now[0], now[0]))


async def test_certificates_are_renewed_before_they_end_and_shown_at_once(tmp_path: Path) -> None:
    now = [clock()]
    async with _renewals(tmp_path, now) as renewals:
        before = renewals.shown
        await renewals.run("server certificates")
        assert (renewals.shown is before, renewals.web_count) == (True, 0)
        now[0] += 390 * DAY_MS
        await renewals.run("server certificates")
        assert (renewals.shown is before, renewals.web_count) == (False, 1)


async def test_keys_of_tickets_are_renewed_every_day_also_while_certificates_last(tmp_path: Path) -> None:
    async with _renewals(tmp_path, [clock()]) as renewals:
        before = renewals.shown
        await renewals.run("tickets")
        assert (renewals.shown is before, renewals.web_count) == (False, 1)
        [crontab] = [crontab for name, (crontab, _) in renewals.jobs.items() if "tickets" in name]
        assert re.fullmatch(r"\d+ \d+ \* \* \*", crontab)


async def test_the_age_of_days_counts_from_what_has_passed_for_sure(tmp_path: Path) -> None:
    now = [clock()]
    async with _renewals(tmp_path, now) as renewals:
        room, time = renewals.parts.gateway.room, renewals.parts.gateway.registry.time
        now[0] = time.reading().floor_at + 300 * DAY_MS
        time.is_vouched_for = lambda _: False
        assert room.passed_at() < now[0] - 299 * DAY_MS
        time.is_vouched_for = lambda _: True
        assert room.passed_at() == now[0]


async def test_nothing_is_erased_before_what_was_accepted_is_committed(tmp_path: Path) -> None:
    async with _renewals(tmp_path, [clock()]) as renewals:
        parts = renewals.parts
        keeping = parts.gateway.room.keeping
        async with parts.telemetry.opened():
            await keeping.erase(1, ["pump-1"])
            # Nobody commits what comes now.
            parts.ingestion.accept(Turn((), {}, ()))
            keeping._erasing.settle_timeout_s = 0
            with pytest.raises(UnwritableError):
                await keeping.erase(1, ["pump-2"])
        assert [each.device_id for each in keeping.pending] == ["pump-1"]


async def test_where_guests_may_come_a_name_makes_nobody_a_device(tmp_path: Path) -> None:
    shown = Credentials("pump-1", None, None, None, "127.0.0.1:5000", "plain")
    answers = []
    for mode in Mode:
        mqtt = MqttConfig(plain_port=1883)
        config = Config(data=str(tmp_path), mqtt=mqtt, plugins=PluginsConfig(mode, classes={"my.Plugin": {}}))
        async with foundation_opened(config, clock) as foundation:
            if not foundation.registry.has_device(1, "pump-1"):
                await foundation.registry.add_device(1, "pump-1")
            answers.append(type(foundation.registry.authenticate(shown)))
    assert answers == [Principal, Denied, Denied]


async def test_the_watchdog_is_fed_while_the_writer_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        loop = asyncio.get_running_loop()
        async with stored(tmp_path) as database, alive(partial(_writer_answers, database)):
            for _ in range(2):
                assert await loop.sock_recv(systemd, 100) == b"WATCHDOG=1"


async def test_a_file_that_another_program_holds_does_not_starve_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        loop = asyncio.get_running_loop()
        async with stored(tmp_path) as database:
            await database.maintain(lambda writer: writer.execute("PRAGMA busy_timeout = 0"))
            with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                async with alive(partial(_writer_answers, database)):
                    assert await loop.sock_recv(systemd, 100) == b"WATCHDOG=1"


async def test_a_writer_that_fails_starves_the_watchdog_and_ends_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")

    async def body() -> None:
        async with stored(tmp_path) as database:
            await database.maintain(sqlite3.Connection.close)
            async with alive(partial(_writer_answers, database)):
                await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await body()
    assert caught.group_contains(sqlite3.ProgrammingError)


async def test_without_systemd_there_is_no_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    async with stored(tmp_path) as database, alive(partial(_writer_answers, database)):
        assert len(asyncio.all_tasks()) == 1


def test_the_version_is_a_number_that_people_can_quote() -> None:
    assert own_version()[0].isdigit()
