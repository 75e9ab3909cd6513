import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance import plugins
from appliance.config import Config
from appliance.instant import DAY_MS
from appliance.parts import Parts, of_each, own_version
from appliance.process import foundation_opened
from appliance.store.database import UnwritableError
from appliance.telemetry.keeping.model import StoppedError
from broker.listener import Endpoint, HandOver
from broker.ports import Turn
from broker.tls import DeviceTls
from tests.appliance.examples import clock


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


async def test_a_stop_does_not_wait_for_the_last_of_many_devices(tmp_path: Path) -> None:
    async with _renewals(tmp_path, [clock()]) as renewals:
        parts, erased = renewals.parts, list[str]()

        async def erase(_tenant_id: int, device_id: str, _through_at: int) -> None:
            erased.append(device_id)
            parts.gateway.room.keeping._writing.is_stopping = True

        async with parts.telemetry.opened():
            keeping = parts.gateway.room.keeping
            keeping._erasing.elsewhere = (of_each(erase),)
            await keeping.erase(1, ["pump-1", "pump-2"])
            with pytest.raises(StoppedError):
                await keeping.erase_pending()
        assert erased == ["pump-1"]
        assert [each.device_id for each in keeping.pending] == ["pump-1", "pump-2"]


def test_the_version_is_a_number_that_people_can_quote() -> None:
    assert own_version()[0].isdigit()
