"""Kill -9 and power cuts under load: what was acknowledged is there afterwards, once.

The plug is pulled from a file system on a loop device: the gateway is stopped in its tracks, and the device's own file
is copied. The copy holds what was pushed out by a sync, and not what only the page cache had.
"""

import asyncio
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.children import BenchError
from bench.faults_gateway import Patient, patient
from bench.faults_load import Crowd, Verdict

DEVICE_COUNT = 16
CARD_BYTES = 256 * 1024 * 1024
SETTINGS = """
[telemetry]
seal_after_ms = 5000
late_grace_ms = 0
reserve_mb = 4
"""
"""Days and chunks are sealed while the load goes on, so that it ends in the middle of that, too."""

SEED = 20_260_131


class NoCardError(OSError):
    """No file system can be mounted here."""


class Deaths(msgspec.Struct, frozen=True):
    """What so many deaths came to."""

    count: int
    verdict: Verdict
    """At the end, after everybody had come back and everything was acknowledged."""
    bad_rounds: tuple[str, ...]
    """What was wrong right after which death."""
    sealed_days: int
    start_seconds: tuple[float, ...]

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost and nothing was there twice, ever."""
        return self.verdict.is_good and not self.bad_rounds


async def killed(folder: Path, rounds: int, largest_round: int) -> Deaths:
    """Kill a gateway under load so often, each time after a random number of acknowledgements up to the largest."""
    with patient(folder / "gateway", folder / "log", DEVICE_COUNT, SETTINGS) as gateway:
        crowd = Crowd(gateway.bundles, DEVICE_COUNT)
        course = _Course(gateway, crowd, largest_round)
        for number in range(rounds):
            await course.live(f"kill {number + 1}")
            gateway.kill()
        return await course.end(rounds)


async def cut_off(folder: Path, rounds: int, largest_round: int) -> Deaths:
    """Cut the power of a gateway under load so often. Raises `NoCardError` where no loop device can be mounted."""
    card = made_card(folder / "card.img")
    place = folder / "card"
    place.mkdir()
    after = folder / "after.img"
    gateway = Patient(place, folder / "log", SETTINGS)
    with mounted(card, place):
        gateway.prepare(DEVICE_COUNT)
    crowd = Crowd(gateway.bundles, DEVICE_COUNT)
    course = _Course(gateway, crowd, largest_round, after)
    for number in range(rounds):
        with _inserted(card, gateway):
            await course.live(f"power cut {number + 1}", card)
        after.replace(card)
    with _inserted(card, gateway):
        return await course.end(rounds)


class _Course:
    """Lives and deaths of one gateway."""

    def __init__(self, gateway: Patient, crowd: Crowd, largest_round: int, copy: Path | None = None) -> None:
        self._gateway = gateway
        self._crowd = crowd
        self._largest_round = largest_round
        self._copy = copy
        self._chance = random.Random(SEED)  # noqa: S311  a load, no secret
        self._bad_rounds: list[str] = []
        self._start_seconds: list[float] = []

    async def live(self, name: str, card: Path | None = None) -> None:
        """Start, look what the death before has left, publish, and be stopped in the middle of it."""
        await self._start(f"before {name}")
        count = self._chance.randint(self._largest_round // 20, self._largest_round)
        async with self._crowd.publishing(self._gateway.mqtt_port):
            await self._crowd.more_acknowledged(count)
            # Acknowledgements that wait in sockets count, too: they were given.
            await asyncio.to_thread(self._gateway.freeze)
            if card is not None and self._copy is not None:
                await asyncio.to_thread(shutil.copyfile, card, self._copy)
            await asyncio.sleep(0.1)

    async def end(self, rounds: int) -> Deaths:
        """Come back once more, be sent what is still owed, and stop in order; the whole story."""
        await self._start("at last")
        async with self._crowd.publishing(self._gateway.mqtt_port, to_the_end=True):
            await self._crowd.more_acknowledged(self._largest_round // 20)
        await asyncio.to_thread(self._gateway.stop)
        self._start_seconds.append(await asyncio.to_thread(self._gateway.start))
        verdict = await self._looked()
        sealed = len(list((self._gateway.data / "days").glob("*.sealed")))
        await asyncio.to_thread(self._gateway.stop)
        return Deaths(rounds, verdict, tuple(self._bad_rounds), sealed, tuple(self._start_seconds))

    async def _start(self, when: str) -> None:
        self._start_seconds.append(await asyncio.to_thread(self._gateway.start))
        verdict = await self._looked()
        if not verdict.is_good:
            self._bad_rounds.append(
                f"{when}: {len(verdict.lost)} lost {verdict.lost[:5]}, {len(verdict.doubled)} twice"
                f" {verdict.doubled[:5]}, {len(verdict.unknown)} never sent"
            )

    async def _looked(self) -> Verdict:
        return self._crowd.verdict(await asyncio.to_thread(self._gateway.stored, self._crowd.device_ids))


def made_card(path: Path, size: int = CARD_BYTES) -> Path:
    """A file that holds an empty file system. Raises `NoCardError` where that is not possible."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        raise NoCardError("only root may mount, and mkfs.ext4 is needed")
    with path.open("wb") as file:
        file.truncate(size)
    # None of it is kept for root alone: it would be full for others sooner than for the gateway. Blocks as cards of
    # today have them: a file system as small as this would get smaller ones, on which a full disk can end the gateway.
    _run("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", str(path))
    return path


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """A file system while it is mounted. Raises `NoCardError` where that is not possible."""
    folder.mkdir(exist_ok=True)
    # The longest interval between syncs of its own, so that the file system does not do our work.
    _run("mount", "-o", "loop,noatime,commit=300", str(image), str(folder))
    try:
        yield folder
    finally:
        _run("umount", str(folder), failed=BenchError)


@contextmanager
def _inserted(card: Path, gateway: Patient) -> Iterator[None]:
    """A card in its place; before it is taken out the gateway is dead, whatever happened."""
    with mounted(card, gateway.folder):
        try:
            yield
        finally:
            gateway.kill()


def _run(*command: str, failed: type[Exception] = NoCardError) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  named above
    if done.returncode:
        raise failed(f"{command[0]} failed: {done.stderr.strip()}")
