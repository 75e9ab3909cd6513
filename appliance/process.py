"""The composition root: builds every part, starts and stops them.

The parts are nested in the order of their start; the language gives the order of their stop. What
lets work in stops first, then the work in hand is finished, then what carries it out, then storage.
"""

import contextlib
import gc
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import msgspec

from appliance import console_cold, console_readings, control, demonstration, plugins, schedule
from appliance.accounts.service import Accounts
from appliance.config import Config
from appliance.console import EVERY_ADDRESS
from appliance.console_replay import Replays
from appliance.folder_lock import folder_locked
from appliance.health import alive, notify_systemd
from appliance.instant import Clock
from appliance.lifetime import defects_end_the_process, stop_requested, wall_clock
from appliance.parts import Foundation, Parts
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.hardware.refused import FILE as REFUSED_PIN
from appliance.registry.hardware.refused import RefusedPin
from appliance.registry.hardware.token import Token
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.service import Registry
from appliance.store import database as store
from appliance.store.database import Database, UnwritableError
from appliance.store.migrate import migrate
from appliance.telemetry.keeping.room.service import make_way
from broker.descriptors import allow_many
from broker.listener import HandOver
from broker.plugins.ports import Mode
from web import server as web

log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter: with Python's 5 ms, a commit waits 300 ms for a busy loop."""


class Started(msgspec.Struct, frozen=True):
    """Where the gateway can be reached, once it can."""

    lan_host: str
    """For others in the LAN; empty when the dashboard listens on one address only."""
    web_ca_fingerprint: str
    web_port: int
    trust_port: int | None
    enrolment_port: int | None
    knock_port: int | None
    mqtt_port: int
    shared_port: int | None
    plain_ports: tuple[int, ...]
    token_port: int | None
    data_folder: Path
    claim: str | None
    """The secret with which the first owner claims the gateway; None when it has one."""


@contextlib.asynccontextmanager
async def foundation_opened(config: Config, clock: Clock) -> AsyncIterator[Foundation]:
    """Open storage, the registry and the accounts; the folder must be locked."""
    folder = config.data_folder
    async with store.opened(folder / "gateway.db", prepare=migrate) as database:
        registry = Registry(
            database,
            folder / "pki",
            clock,
            config.http.own_names,
            # Where there are guests, a name alone makes nobody a device.
            trust_plain=config.mqtt.plain_port is not None and config.plugins.mode is Mode.NARROW,
        )
        refused = RefusedPin(folder / "pki" / REFUSED_PIN, secrets.token_bytes(16))
        registry.authorities.token = Token(config.ca, refused)
        accounts = Accounts(
            database,
            clock,
            session_idle_ms=config.http.session_idle_ms,
            session_length_ms=config.http.session_length_ms,
        )
        async with registry.opened(), Catalogue(registry, database, clock).opened() as catalogue:
            yield Foundation(database, registry, catalogue, accounts)
            with contextlib.suppress(UnwritableError):
                await accounts.tell_refused(DEFAULT_TENANT)


async def run(config: Config, started: Callable[[Started], None], *, demo: bool = False) -> None:
    """Run the gateway until it is asked to stop; `started` hears where it can be reached.

    Raises whatever ended a part: the process is then to end with status 1.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    allow_many()
    stop = stop_requested()
    clock = wall_clock
    started_at = clock()
    wanted = plugins.read(config.plugins, config.mqtt.plain_networks)
    for sentence in wanted.left_out:
        log.warning(sentence)
    with folder_locked(config.data_folder):
        # What the gateway makes is for its own user, whatever its folder lets others do.
        os.umask(0o077)
        make_way(config.data_folder, config.telemetry)
        async with defects_end_the_process(), foundation_opened(config, clock) as foundation:
            parts = Parts(config, wanted, foundation, clock, started_at)
            async with (
                parts.stored(),
                parts.notifications.running(),
                parts.gateway.renewal.running(parts.broker),
                parts.gateway.presence.running(parts.broker.publish),
                plugins.running(parts.plugins, parts.broker, clock),
                parts.broker.connected(),
                parts.answering(),
                parts.ingestion.running(
                    parts.broker.acknowledge, parts.broker.pause_reading, parts.broker.resume_reading
                ),
                parts.gateway.vitals.running(),
                web.serving(parts.gateway, config.http, config.http.device_host) as pages,
                schedule.running(parts.jobs(pages.reload_certificate), _job_failed),
                parts.doors.opened(parts.broker, HandOver(pages.adopt)) as ports,
                control.serving(
                    config.data_folder / "control.sock",
                    {
                        **parts.console(ports, pages.port).calls(),
                        **console_readings.calls(parts.gateway),
                        **console_cold.calls(parts.gateway),
                        **Replays(parts.gateway.replay, parts.gateway.messages).calls(),
                    },
                ),
                alive(partial(_writer_answers, foundation.database)),
                contextlib.AsyncExitStack() as demonstration_stack,
            ):
                if demo:
                    fleet = await demonstration_stack.enter_async_context(
                        demonstration.running(
                            foundation.registry,
                            parts.alerts,
                            parts.gateway.commands.catalogue,
                            config.data_folder,
                            parts.own_endpoint(ports.mqtt),
                            clock,
                        )
                    )
                    parts.health.register("simulator", fleet.status)
                claim = None
                if not await foundation.accounts.has_owner(DEFAULT_TENANT):
                    claim = await foundation.accounts.open_claim(DEFAULT_TENANT)
                settle_memory()
                parts.health.ready = True
                notify_systemd("READY=1")
                started(
                    Started(
                        lan_host=foundation.registry.lan_host if config.http.host in EVERY_ADDRESS else "",
                        web_ca_fingerprint=foundation.registry.web_ca_fingerprint,
                        web_port=pages.port,
                        trust_port=pages.trust_port,
                        enrolment_port=pages.enrolment_port,
                        knock_port=pages.knock_port,
                        mqtt_port=ports.mqtt,
                        shared_port=ports.shared,
                        plain_ports=tuple(port for port in (ports.plain, *ports.further) if port is not None),
                        token_port=ports.token,
                        data_folder=config.data_folder,
                        claim=claim,
                    )
                )
                await stop.wait()
                log.info("stop requested")
                parts.health.ready = False
                notify_systemd("STOPPING=1")
    log.info("stopped")


async def _writer_answers(database: Database) -> None:
    # A full disk, or another program that holds the file, is waited for elsewhere: the writer has answered.
    with contextlib.suppress(UnwritableError):
        await database.write(_nothing)


def _nothing(_: object) -> None:
    """Run as a transaction of its own, to see that the writer answers."""


def _job_failed(name: str, error: BaseException) -> None:
    log.error("scheduled work failed name=%r", name, exc_info=error)


def settle_memory() -> None:
    """Keep the collector off what lives as long as the process: full collections paused it for seconds.

    What comes later is looked at in small pieces, twice at most. With more at a time, all that ten thousand connections
    are made of was looked at in one go, as a rule when their messages began to come: for half a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 2, 2_500)
