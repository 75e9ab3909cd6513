import asyncio
import contextlib
import socket
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from appliance.config import Config, MqttConfig, PluginsConfig
from appliance.health import alive
from appliance.process import (
    _writer_answers,
    foundation_opened,
)
from broker.plugins.ports import Mode
from broker.ports import Credentials, Denied, Principal
from tests.appliance.examples import clock, stored

ROOT = Path(__file__).parent.parent.parent


async def test_storage_the_registry_and_accounts_open_together_and_keep_what_they_know(tmp_path: Path) -> None:
    config = Config(data=str(tmp_path))
    async with foundation_opened(config, clock) as foundation:
        await foundation.registry.add_device(1, "pump-1")
        assert not await foundation.accounts.has_owner(1)
    async with foundation_opened(config, clock) as foundation:
        assert [device.device_id for device in foundation.registry.devices(1)] == ["pump-1"]
    assert (tmp_path / "gateway.db").exists()
    assert (tmp_path / "pki").is_dir()


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


def test_much_that_stays_is_looked_at_for_garbage_in_small_pieces() -> None:
    program = """
import gc
from appliance.process import settle_memory

settle_memory()
looked_at = []
def note(phase, info):
    if phase == "start":
        looked_at.append(sum(len(gc.get_objects(each)) for each in range(info["generation"] + 1)))
gc.callbacks.append(note)
kept = [[] for _ in range(1_000_000)]
print(len(looked_at), max(looked_at), sum(looked_at))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    count, most, together = map(int, done.stdout.split())
    assert count > 40
    assert most < 100_000
    assert together < 2_500_000
