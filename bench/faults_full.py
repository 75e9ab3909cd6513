"""The disk is full while devices publish, and has room again: nothing acknowledged is lost, and all goes on."""

import asyncio
import http.client
import time
from pathlib import Path

import msgspec

from bench.children import BenchError
from bench.faults_death import DEVICE_COUNT, made_card, mounted
from bench.faults_gateway import Patient
from bench.faults_load import WAIT_S, Crowd, Verdict

CARD_BYTES = 48 * 1024 * 1024
SETTINGS = """
[telemetry]
seal_after_ms = 5000
reserve_mb = 4
drop_when_full = false
"""
PAGES = ("/v1/status", "/v1/storage", "/v1/devices/load-00000/telemetry", "/sign-in", "/")

_HEARD_S = 0.5
_STOPPED = "commit failed"
_GOES_ON = "commits succeed again"


class Full(msgspec.Struct, frozen=True):
    """What a full disk came to."""

    verdict: Verdict
    """Before and after a restart, whichever is worse."""
    unanswered: tuple[str, ...]
    """Pages that did not answer while the disk was full, and with what."""
    is_said: bool
    """Whether the status said that the disk is full."""
    acknowledged_while_full: int
    """After the first commit had failed."""
    full_seconds: float
    back_seconds: float
    """From the moment at which there was room again until a commit succeeded."""


async def filled(folder: Path, count: int) -> Full:
    """Fill the disk of a gateway after so many acknowledgements, free it, and wait for as many again.

    Raises `NoCardError` where no loop device can be mounted.
    """
    card = made_card(folder / "card.img", CARD_BYTES)
    place = folder / "card"
    gateway = Patient(place, folder / "log", SETTINGS)
    with mounted(card, place):
        gateway.prepare(DEVICE_COUNT)
        crowd = Crowd(gateway.bundles, DEVICE_COUNT)
        try:
            return await _lived(gateway, crowd, count)
        finally:
            gateway.kill()


async def _lived(gateway: Patient, crowd: Crowd, count: int) -> Full:
    await asyncio.to_thread(gateway.start)
    await asyncio.to_thread(gateway.get, "/v1/status")
    async with crowd.publishing(gateway.mqtt_port, to_the_end=True):
        await crowd.more_acknowledged(count)
        fillers = await asyncio.to_thread(_filled_up, gateway)
        # What was answered before is heard first.
        await asyncio.sleep(_HEARD_S)
        before, began = len(crowd.acknowledged), time.monotonic()
        is_said, unanswered = await asyncio.to_thread(_asked, gateway)
        full_seconds, acknowledged = time.monotonic() - began, len(crowd.acknowledged) - before
        for filler in fillers:
            filler.unlink()
        freed = time.monotonic()
        await asyncio.to_thread(_await_commits, gateway)
        back_seconds = time.monotonic() - freed
        await crowd.more_acknowledged(count)
    first = crowd.verdict(await asyncio.to_thread(gateway.stored, crowd.device_ids))
    await asyncio.to_thread(gateway.stop)
    await asyncio.to_thread(gateway.start)
    second = crowd.verdict(await asyncio.to_thread(gateway.stored, crowd.device_ids))
    await asyncio.to_thread(gateway.stop)
    verdict = second if first.is_good else first
    return Full(verdict, unanswered, is_said, acknowledged, full_seconds, back_seconds)


def _filled_up(gateway: Patient) -> list[Path]:
    """Take every byte there is, again and again, until commits fail for good. Gives the files that were made."""
    fillers: list[Path] = []
    deadline = time.monotonic() + WAIT_S
    # A reserve that is given up lets some more succeed.
    while not (_is_stopped(gateway) and _is_said(gateway)):
        if time.monotonic() > deadline:
            raise BenchError("the disk is full, and the gateway never said so while commits failed")
        path = gateway.folder / f"filler-{len(fillers)}"
        if fill(path):
            fillers.append(path)
        else:
            path.unlink()
        time.sleep(0.02)
    return fillers


def fill(path: Path) -> int:
    """Put every byte that is left on the disk into a file; gives how many there were."""
    size, filled_bytes = 1 << 20, 0
    with path.open("wb", buffering=0) as file:
        while size >= 1 << 9:
            try:
                filled_bytes += file.write(bytes(size))
            except OSError:
                size >>= 1
    return filled_bytes


def _asked(gateway: Patient) -> tuple[bool, tuple[str, ...]]:
    """Whether the status says that the disk is full, and what is not answered."""
    answers = {page: gateway.ask(page)[0] for page in PAGES}
    unanswered = [f"{page}: {status}" for page, status in answers.items() if status >= http.client.BAD_REQUEST]
    return _is_said(gateway), tuple(unanswered)


def _is_said(gateway: Patient) -> bool:
    return "disk is full" in gateway.get("/v1/status")["parts"]["room"]["summary"]


def _is_stopped(gateway: Patient) -> bool:
    said = gateway.said()
    return said.rfind(_STOPPED) > said.rfind(_GOES_ON)


def _await_commits(gateway: Patient) -> None:
    deadline = time.monotonic() + WAIT_S
    while _is_stopped(gateway):
        if time.monotonic() > deadline:
            raise BenchError(f"there is room again, and the gateway did not say {_GOES_ON!r} in {WAIT_S:g} s")
        time.sleep(0.02)
