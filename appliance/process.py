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
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from appliance import control, demonstration, plugins, schedule
from appliance.accounts.service import Accounts
from appliance.alerts.service import Alerts
from appliance.broker_health import broker_status
from appliance.bus import Bus, both
from appliance.config import Config
from appliance.console import EVERY_ADDRESS, Console, local_host, reached
from appliance.doors import Doors, Ports
from appliance.enrolment.codes.service import Codes
from appliance.enrolment.renewal.request import est_url
from appliance.enrolment.renewal.service import Renewal
from appliance.enrolment.service import Enrolment
from appliance.enrolment.tray.service import Tray
from appliance.folder_lock import folder_locked
from appliance.gateway import Gateway
from appliance.health import Health, alive, notify_systemd
from appliance.ingestion.service import Ingestion, Rooms
from appliance.instant import Clock
from appliance.lifetime import defects_end_the_process, stop_requested
from appliance.notifications.channel import Channel
from appliance.notifications.email import SmtpChannel
from appliance.notifications.mailbox import MailboxChannel
from appliance.notifications.service import Notifications
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.hardware.refused import FILE as REFUSED_PIN
from appliance.registry.hardware.refused import RefusedPin
from appliance.registry.hardware.token import Token
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.presence_log.service import PresenceLog
from appliance.registry.service import Registry
from appliance.sessions.service import Sessions
from appliance.simulator import wire as simulator
from appliance.store import database as store
from appliance.store.database import Database, UnwritableError
from appliance.store.migrate import migrate
from appliance.telemetry.keeping.room.service import Room, make_way
from appliance.telemetry.service import Telemetry
from broker.limits import under_aws
from broker.listener import HandOver
from broker.plugins.host import PluginHost
from broker.plugins.ports import Mode
from broker.server import Broker
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


class Foundation(msgspec.Struct, frozen=True):
    """What the command line needs of the gateway, whether it runs or not."""

    database: Database
    registry: Registry
    catalogue: Catalogue
    accounts: Accounts


def wall_clock() -> int:
    """The present moment, UTC milliseconds."""
    return time.time_ns() // 1_000_000


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
            parts = _Parts(config, wanted, foundation, clock, started_at)
            async with (
                parts.sessions.opened(),
                parts.telemetry.opened(),
                parts.gateway.room.running(),
                parts.alerts.opened(),
                parts.notifications.running(),
                parts.gateway.renewal.running(parts.broker),
                parts.gateway.presence.running(parts.broker.publish),
                plugins.running(parts.plugins, parts.broker, clock),
                parts.broker.connected(),
                parts.gateway.enrolment.running(parts.broker),
                parts.ingestion.running(
                    parts.broker.acknowledge, parts.broker.pause_reading, parts.broker.resume_reading
                ),
                web.serving(parts.gateway, config.http, config.http.device_host) as pages,
                schedule.running(parts.jobs(pages.reload_certificate), _job_failed),
                parts.doors.opened(parts.broker, HandOver(pages.adopt)) as ports,
                control.serving(config.data_folder / "control.sock", parts.console(ports, pages.port).calls()),
                alive(partial(_writer_answers, foundation.database)),
                contextlib.AsyncExitStack() as demonstration_stack,
            ):
                if demo:
                    fleet = await demonstration_stack.enter_async_context(
                        demonstration.running(
                            foundation.registry, parts.alerts, config.data_folder, parts.own_endpoint(ports.mqtt), clock
                        )
                    )
                    parts.health.register("simulator", fleet.status)
                claim = None
                if not await foundation.accounts.has_owner(DEFAULT_TENANT):
                    claim = await foundation.accounts.open_claim(DEFAULT_TENANT)
                _settle_memory()
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


class _Parts:
    """The parts of the process, built but not started."""

    def __init__(
        self, config: Config, wanted: plugins.Wanted, foundation: Foundation, clock: Clock, started_at: int
    ) -> None:
        folder = config.data_folder
        self._config = config
        self._foundation = foundation
        self.bus = Bus()
        self.health = Health()
        self.telemetry = Telemetry(foundation.database, folder, config.telemetry, clock)
        self.alerts = Alerts(foundation.database, config.alerts, clock)
        mailbox = None if config.email.server else MailboxChannel(folder / "mailbox")
        email: Channel = mailbox or SmtpChannel(config.email)
        self.notifications = Notifications(foundation.database, {"email": email}, self.bus, clock)
        rooms = Rooms(foundation.registry, self.alerts, self.telemetry, foundation.catalogue.type_of)
        self.ingestion = Ingestion(foundation.database, rooms, self.bus, config.ingestion, clock)
        self.sessions = Sessions(foundation.database, clock)
        limits = under_aws(config.limits) if config.mqtt.aws_limits == "enforce" else config.limits
        self.plugins = PluginHost(wanted.config, clock)
        authorizer = self.plugins.authorizer(foundation.registry)
        self.broker = Broker(self.ingestion, authorizer, clock, limits, self.sessions)
        self._tell_the_broker(foundation.registry)
        foundation.registry.tokens.plain_networks = config.mqtt.plain_networks
        self.broker.exchange.now_filters = config.mqtt.acknowledge_now
        self.broker.exchange.retained_source_is_checked = config.mqtt.retained_source_check
        self.gateway = Gateway(
            codes=Codes(foundation.database, foundation.registry, clock),
            tray=Tray(foundation.database, foundation.registry, clock, is_open=config.enrolment.knocking),
            enrolment=self._enrolment(clock),
            registry=foundation.registry,
            catalogue=foundation.catalogue,
            accounts=foundation.accounts,
            telemetry=self.telemetry,
            room=self._room(clock),
            alerts=self.alerts,
            notifications=self.notifications,
            mailbox=mailbox,
            ingestion=self.ingestion,
            bus=self.bus,
            health=self.health,
            broker=self.broker,
            presence=self._presence(),
            renewal=self._renewal(),
            version=_version(),
            data_folder=folder,
            started_at=started_at,
        )
        self.doors = Doors(config.mqtt, foundation.registry.device_tls, wanted.listeners)
        self.health.register_all({**foundation.registry.parts(), **self.gateway.room.parts()})
        self.health.register("broker", partial(broker_status, self.broker))
        self.health.register("ingestion", self.ingestion.status)
        self.health.register("telemetry", self.telemetry.status)
        self.health.register("notifications", self.notifications.status)
        if wanted.config.plugins:
            self.health.register("plugins", partial(plugins.status, self.plugins))

    def _tell_the_broker(self, registry: Registry) -> None:
        """Have connections judged again when what they hang on has changed."""
        registry.rights_changed = self.broker.judge_soon
        registry.policy_changed = self.broker.review_soon
        registry.own_authorities.publish = self.broker.publish
        registry.revocation.judge_everybody = self.broker.judge_everybody

    def _room(self, clock: Clock) -> Room:
        """The room on the disk; what is kept of a device hangs on its type, and for how long on what has passed."""
        foundation, config = self._foundation, self._config
        room = Room(foundation.database, self.telemetry, config.data_folder, config.telemetry, clock)
        room.devices = foundation.registry.devices_of_all
        room.passed_at = lambda: foundation.registry.time.reading().passed_at
        room.keeping.follow(self.ingestion.settled)
        return room

    def _enrolment(self, clock: Clock) -> Enrolment:
        """Whoever comes with a claim, and what it asks for."""
        enrolment = Enrolment(self._foundation.database, self._foundation.registry, clock)
        self._foundation.registry.newcomers = enrolment
        self._foundation.registry.own_authorities.templates = enrolment
        self.ingestion.requested, enrolment.note = enrolment.requested, self.ingestion.note
        return enrolment

    def _presence(self) -> PresenceLog:
        """When devices came and went, told by whoever hears of it."""
        foundation = self._foundation
        interval_ms = self._config.presence.expected_interval_ms
        presence = PresenceLog(foundation.database, foundation.registry, interval_ms)
        presence.interval_ms = foundation.catalogue.interval_ms
        self.ingestion.noted, self.broker.desk.heard = presence.note, presence.note_subscribed
        foundation.registry.gone = self.broker.forget
        return presence

    def _renewal(self) -> Renewal:
        """Certificates in the place of others; it hears what enrolment and presence hear."""
        foundation, http = self._foundation, self._config.http
        renewal = Renewal(foundation.database, foundation.registry, self._config.enrolment.renewals_a_day)
        reminder, ingestion, desk = renewal.reminder, self.ingestion, self.broker.desk
        ingestion.requested = both(ingestion.requested, reminder.requested)
        ingestion.noted = both(ingestion.noted, reminder.heard)
        desk.heard = both(desk.heard, reminder.heard_subscribed)
        reminder.note = ingestion.note
        reminder.est_url = lambda: est_url(http.device_host, foundation.registry.address.shared_port)
        return renewal

    def console(self, ports: Ports, web_port: int) -> Console:
        """The calls of the command line; from here on devices are told of these ports."""
        foundation, host, erase = self._foundation, self._config.mqtt.host, self.gateway.room.keeping.erase
        foundation.registry.reached = reached(host, ports.mqtt, ports.shared, web_port)
        return Console(foundation.registry, foundation.accounts, host, foundation.catalogue, erase)

    def own_endpoint(self, mqtt_port: int) -> simulator.Endpoint:
        """Where simulated devices on this machine connect."""
        host = local_host(self._config.mqtt.host)
        return simulator.Endpoint(host, mqtt_port, host)

    def jobs(self, reload_web_certificate: Callable[[], None]) -> dict[str, tuple[str, schedule.Work]]:
        """What is due by the clock."""

        async def renew_tickets() -> None:
            self.doors.reload()
            reload_web_certificate()

        async def tell_refused() -> None:
            await self._foundation.accounts.tell_refused(DEFAULT_TENANT)

        async def end_expired() -> None:
            registry = self._foundation.registry
            for bound in registry.newly_over():
                registry.rights_changed(bound.tenant_id, bound.device_id)
            registry.forget_long_over()

        self._foundation.registry.authorities.tls_changed = renew_tickets
        return {
            "renew server certificates": ("17 * * * *", self._foundation.registry.authorities.show_changes),
            # With the keys of its tickets, whoever has them can read what was said before.
            "renew the keys of TLS tickets": ("41 3 * * *", renew_tickets),
            "keep the time": ("*/5 * * * *", self._foundation.registry.time.mark),
            # A connection may last longer than the certificate that opened it.
            "end what expired credentials opened": ("* * * * *", end_expired),
            "look after certificates that are due": ("29 4 * * *", self.gateway.renewal.reminder.look_after),
            "seal, thin and drop days": ("37 2 * * *", self.gateway.room.keeping.tend),
            "look after device tokens": ("* * * * *", self._foundation.registry.tokens.look_after),
            # What a full disk has left to do.
            "tell which attempts to sign in failed": ("* * * * *", tell_refused),
            "finish what the audit log and the CAs began": ("* * * * *", self._foundation.registry.catch_up),
            "finish revocations": ("* * * * *", self._foundation.registry.revocation.look_after),
        }


async def _writer_answers(database: Database) -> None:
    # A full disk, or another program that holds the file, is waited for elsewhere: the writer has answered.
    with contextlib.suppress(UnwritableError):
        await database.write(_nothing)


def _nothing(_: object) -> None:
    """Run as a transaction of its own, to see that the writer answers."""


def _job_failed(name: str, error: BaseException) -> None:
    log.error("scheduled work failed name=%r", name, exc_info=error)


def _settle_memory() -> None:
    """Keep the collector off what lives as long as the process: full collections paused it for seconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _version() -> str:
    try:
        return version("headworks")
    except PackageNotFoundError:
        return "0.1.0"
