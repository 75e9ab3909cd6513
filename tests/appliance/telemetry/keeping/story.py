"""A gateway whose days are kept, and what it lives through."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from appliance.instant import DAY_MS, MINUTE_MS
from appliance.telemetry.keeping.service import Keeping
from appliance.telemetry.model import Report
from tests.appliance.telemetry.reports import NOON, report
from tests.appliance.telemetry.test_service import Gateway

DEVICES = ("a", "b")
AFTER = NOON + DAY_MS
"""The day of NOON is over, and so is the time for what comes late."""


class KeepingGateway(Gateway):
    """What commits, what keeps, and what looks after the days."""

    keeping: Keeping

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["KeepingGateway"]:
        async with super().running():
            self.keeping = Keeping(self.database, self.telemetry, self.config, lambda: self.now)
            await self.keeping._erasing.resume()
            yield self

    async def seal(self) -> list[int]:
        await self.telemetry.seal_all()
        return await self.keeping.seal_due()

    def names(self) -> set[str]:
        passed_over = (".db-wal", ".db-shm", ".list")
        return {path.name for path in (self.folder / "days").iterdir() if path.suffix not in passed_over}


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("take"),
            st.lists(
                st.tuples(st.sampled_from(DEVICES), st.integers(-2, 1), st.integers(0, 40)), min_size=1, max_size=5
            ),
        ),
        st.tuples(st.just("erase"), st.lists(st.sampled_from(DEVICES), min_size=1, unique=True)),
        st.tuples(
            st.sampled_from(["seal_all", "night", "erase_pending", "half_a_night", "kill", "restart"]), st.none()
        ),
        st.tuples(st.just("half_an_erasing"), st.integers(1, 10)),
    ),
    max_size=16,
)


class Story:
    """A gateway that lives through nights, erasings and deaths in any order, and what it must know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.life = 0
        self.count = 0
        self.expected: dict[str, list[tuple[int, int]]] = {name: [] for name in DEVICES}

    async def run(self, all_steps: list[tuple[str, Any]]) -> None:
        remaining = iter([*all_steps, ("erase_pending", None), ("night", None), ("restart", None), ("end", None)])
        while await self.live(remaining):
            pass

    async def live(self, remaining: Any) -> bool:
        place = self.folder / str(self.life)
        place.mkdir(exist_ok=True)
        gateway = KeepingGateway(place)
        gateway.now = AFTER + DAY_MS
        async with gateway.running():
            await self.check(gateway)
            for kind, argument in remaining:
                if kind == "end":
                    return False
                if kind == "restart":
                    break
                if kind == "kill":
                    self.life += 1
                    shutil.copytree(place, self.folder / str(self.life), ignore=shutil.ignore_patterns("*-shm"))
                    break
                await self.step(gateway, kind, argument)
                if kind == "half_a_night":
                    break
                await self.check(gateway)
        return True

    async def step(self, gateway: KeepingGateway, kind: str, argument: Any) -> None:
        match kind:
            case "take":
                await gateway.take(*[self.next_report(*each) for each in argument])
            case "seal_all":
                await gateway.telemetry.seal_all()
            case "night":
                await gateway.seal()
            case "half_an_erasing":
                await self.half_an_erasing(gateway, argument)
            case "half_a_night":
                await self.half_a_night(gateway)
            case "erase":
                self.expected |= {device_id: [] for device_id in argument}
                await gateway.keeping.erase(1, argument, "id:a,b")
            case _:
                await gateway.keeping.erase_pending()

    async def half_an_erasing(self, gateway: KeepingGateway, count: int) -> None:
        """Some steps of an erasing; what comes next may be anything, a death too."""
        async with contextlib.aclosing(gateway.keeping._erasing.steps()) as done:
            async for _ in done:
                count -= 1
                if not count:
                    return

    async def half_a_night(self, gateway: KeepingGateway) -> None:
        """A power cut after the sealed day took its place and before the open one was removed."""
        await gateway.telemetry.seal_all()
        before = self.folder / "before"
        shutil.copytree(gateway.folder / "days", before)
        await gateway.keeping.seal_due()
        for path in before.glob("*.db"):
            shutil.copy(path, gateway.folder / "days" / path.name)
        shutil.rmtree(before)

    def next_report(self, device: str, day: int, minute: int) -> Report:
        self.count += 1
        at = NOON + day * DAY_MS + minute * MINUTE_MS
        self.expected[device].append((at, self.count))
        return report(device, at, sequence=self.count, values={"pressure": self.count})

    async def check(self, gateway: KeepingGateway) -> None:
        for device, expected in self.expected.items():
            found = await gateway.stored(device)
            assert sorted(found) == sorted(expected)
            latest = gateway.telemetry.latest(1, device)
            assert latest == {} if not expected else latest["pressure"].at == max(at for at, _ in expected)
        assert gateway.telemetry.status().ok
