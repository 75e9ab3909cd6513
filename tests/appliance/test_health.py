import asyncio
import socket
from pathlib import Path

import pytest

from appliance.health import Health, Status, alive, is_logged_by_journald, notify_systemd, watchdog_interval


def test_every_part_is_asked_anew_under_its_name() -> None:
    health = Health()
    connections = [1]
    health.register("broker", lambda: Status(ok=True, summary=f"{connections[0]} connections"))
    health.register("ingestion", lambda: Status(ok=False, summary="nothing can be written", details={"lag_ms": 7}))
    connections[0] = 2
    assert health.statuses() == {
        "broker": Status(True, "2 connections"),
        "ingestion": Status(False, "nothing can be written", {"lag_ms": 7}),
    }


def test_a_process_is_not_ready_until_it_says_so() -> None:
    assert not Health().ready


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_hears_what_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_abstract: bool) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + path if is_abstract else path)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + path if is_abstract else path)
        assert notify_systemd("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify_systemd("READY=1")


def test_a_sign_of_life_is_given_twice_in_the_time_systemd_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_interval() == 15.0
    monkeypatch.delenv("WATCHDOG_USEC")
    assert watchdog_interval() is None


async def test_signs_of_life_are_given_only_when_what_is_asked_has_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "notify")
    asked, answer = asyncio.Event(), asyncio.Event()

    async def answers() -> None:
        asked.set()
        await answer.wait()

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        async with asyncio.timeout(30), alive(answers):
            await asked.wait()
            with pytest.raises(BlockingIOError):
                systemd.recv(100)
            answer.set()
            assert await asyncio.get_running_loop().sock_recv(systemd, 100) == b"WATCHDOG=1"
            assert await asyncio.get_running_loop().sock_recv(systemd, 100) == b"WATCHDOG=1"


async def test_without_a_watchdog_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    asked: list[int] = []

    async def answers() -> None:
        asked.append(1)

    async with alive(answers):
        await asyncio.sleep(0)
    assert not asked


def test_the_journal_is_known_by_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    assert is_logged_by_journald()
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not is_logged_by_journald()
