"""A whole gateway without its sockets: real services on a real database, a clock that stands, a client."""

import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from litestar import Litestar

from appliance.accounts.service import Accounts
from appliance.alerts.service import Alerts
from appliance.bus import Bus
from appliance.cold_settings import ColdConfig
from appliance.config import AlertsConfig, HttpConfig, IngestionConfig, JournalConfig, StreamConfig, TelemetryConfig
from appliance.enrolment.codes.service import Codes
from appliance.enrolment.renewal.service import Renewal
from appliance.enrolment.service import Enrolment
from appliance.enrolment.tray.service import Tray
from appliance.gateway import Gateway
from appliance.health import Health
from appliance.ingestion.declaring.service import Units
from appliance.ingestion.importing.service import Importing
from appliance.ingestion.mapping.service import MappingRules
from appliance.ingestion.service import Ingestion
from appliance.ingestion.settling.service import Rooms
from appliance.instant import HOUR_MS, Clock, to_text
from appliance.monitoring import MetricsConfig
from appliance.notifications.mailbox import MailboxChannel
from appliance.notifications.service import Notifications
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.presence_log.service import PresenceLog
from appliance.registry.service import Registry
from appliance.store import database as store
from appliance.stream.replay.messages.service import Messages
from appliance.stream.replay.service import Replay
from appliance.stream.service import Stream
from appliance.telemetry.cold.service import Cold
from appliance.telemetry.exporting.service import Exporting
from appliance.telemetry.journal.service import Journal
from appliance.telemetry.keeping.room.service import Room
from appliance.telemetry.promql.service import Prometheus
from appliance.telemetry.service import Telemetry
from appliance.vitals.service import Sources, Vitals
from broker.limits import Limits
from broker.message import Message
from broker.ports import Connected, Turn
from broker.server import Broker
from tests.appliance.store.tables import up_to_date
from tests.web import plane
from web.app import create_app
from web.auth import SESSION_COOKIE, form_token
from web.protection import TOKEN_FIELD
from web.shell import moment

EMAIL = "owner@example.com"
PASSWORD = "seven grey herons wade"
HOST = "gateway.local:8443"
CONFIG = HttpConfig(host="127.0.0.1", port=0, trust_port=0, enrolment_port=0)
METRICS = MetricsConfig(("198.51.100.0/24",))
"""Who may read `/metrics` without a token."""
INGESTION = IngestionConfig(commit_interval_ms=0)


class Sent:
    """The receipt of a message that came from no client."""


class House:
    """The services, and the short ways in which tests use them."""

    def __init__(self, gateway: Gateway, config: HttpConfig, clock: Clock) -> None:
        self.gateway = gateway
        self.config = config
        self.clock = clock
        self._acknowledged_count = 0
        self._expected_count = 0

    async def add_device(self, device_id: str, *, name: str = "", zone: str = "", is_connected: bool = True) -> None:
        await self.gateway.registry.add_device(DEFAULT_TENANT, device_id, name=name, zone=zone)
        if is_connected:
            self.gateway.ingestion.note(
                Connected(DEFAULT_TENANT, device_id, device_id, "192.0.2.7:4711", self.clock() - HOUR_MS)
            )

    async def send(
        self,
        device_id: str,
        payload: dict[str, Any] | bytes,
        *,
        at: int | None = None,
        arrived_at: int | None = None,
        topic: str = "",
    ) -> None:
        """One message on its real way, until it is on disk."""
        if isinstance(payload, dict):
            payload = json.dumps({"timestamp": to_text(at or self.clock()), **payload}).encode()
        self._expected_count += 1
        topic = topic or f"sensors/{device_id}/telemetry"
        message = Message(DEFAULT_TENANT, device_id, device_id, topic, payload, 1, False, arrived_at or self.clock())
        with self.gateway.bus.subscribe(object) as committed:
            self.gateway.ingestion.accept(Turn([message], {}, [Sent()]))
            while self._acknowledged_count < self._expected_count:
                await committed.next_batch()

    def acknowledge(self, receipts: Sequence[object]) -> None:
        self._acknowledged_count += sum(isinstance(receipt, Sent) for receipt in receipts)
        self.gateway.broker.acknowledge(receipt for receipt in receipts if not isinstance(receipt, Sent))

    async def claim(self) -> str:
        """Make the owner; gives the secret of their session."""
        secret = await self.gateway.accounts.open_claim(DEFAULT_TENANT)
        return await self.gateway.accounts.claim(secret, EMAIL, PASSWORD)


@asynccontextmanager
async def _streaming(
    database: store.Database, folder: Path, registry: Registry, bus: Bus, clock: Clock
) -> AsyncIterator[Stream]:
    telemetry = Telemetry(database, folder, TelemetryConfig(), clock)
    stream = Stream(database, registry.audit, telemetry, bus, StreamConfig(), clock)
    async with stream.opened():
        yield stream


@asynccontextmanager
async def opened(
    folder: Path, config: HttpConfig | None = None, clock: Clock = moment, limits: Limits | None = None
) -> AsyncIterator[House]:
    """Every service of a gateway, open. E-mail goes into the mailbox."""
    config = config or CONFIG
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(store.opened(folder / "gateway.db", prepare=up_to_date))
        registry = Registry(database, folder / "pki", clock, config.names)
        await stack.enter_async_context(registry.opened())
        accounts = Accounts(
            database, clock, session_idle_ms=config.session_idle_ms, session_length_ms=config.session_length_ms
        )
        bus, health, mailbox = Bus(), Health(), MailboxChannel(folder / "mailbox")
        stream = await stack.enter_async_context(_streaming(database, folder, registry, bus, clock))
        room = Room(database, stream.telemetry, folder, TelemetryConfig(reserve_mb=0), clock)
        await stack.enter_async_context(room.running())
        alerts = Alerts(database, AlertsConfig(), clock)
        await stack.enter_async_context(alerts.opened())
        notifications = Notifications(database, {"email": mailbox}, bus, clock)
        await stack.enter_async_context(notifications.running())
        catalogue = await stack.enter_async_context(Catalogue(registry, database, clock).opened())
        mapping = MappingRules(database, registry, INGESTION, catalogue.type_of, clock)
        rooms = Rooms(registry, alerts, stream.telemetry, catalogue.type_of, mapping=mapping.book)
        ingestion = Ingestion(database, rooms, bus, INGESTION, clock)
        broker = Broker(ingestion, registry, clock, limits)
        presence = PresenceLog(database, registry)
        ingestion.noted = presence.note
        gateway = Gateway(
            registry,
            catalogue,
            accounts,
            stream.telemetry,
            room,
            alerts,
            notifications,
            mailbox,
            ingestion,
            Codes(database, registry, clock),
            Tray(database, registry, clock, is_open=True),
            await stack.enter_async_context(Renewal(database, registry, 10).running(broker)),
            await stack.enter_async_context(Enrolment(database, registry, clock).running(broker)),
            broker,
            presence,
            bus,
            health,
            "1.2.3",
            folder,
            clock(),
            vitals=Vitals(database, Sources(health, ingestion, room, registry, alerts), bus, clock, METRICS),
            units=(
                units := await stack.enter_async_context(
                    Units(database, catalogue, ingestion.quality.declared).running()
                )
            ),
            exporting=Exporting(stream.telemetry, units_of=units.of),
            cold=Cold(database, folder, ColdConfig(), clock),
            importing=Importing(registry, stream.telemetry, ingestion, clock, 300_000),
            prometheus=Prometheus(stream.telemetry),
            stream=stream,
            replay=(replay := Replay(stream, 300_000)),
            journal=(journal := Journal(folder / "journal", JournalConfig(), clock, dict)),
            messages=Messages(replay, journal),
            mapping=await stack.enter_async_context(mapping.opened()),
            **await plane.rooms(stack, database, registry, ingestion, broker, bus),
        )
        health.register("ingestion", ingestion.status)
        house = House(gateway, config, clock)
        stack.callback(_give_back, house)
        await stack.enter_async_context(presence.running(broker.publish))
        await stack.enter_async_context(broker.connected())
        await stack.enter_async_context(
            ingestion.running(house.acknowledge, broker.pause_reading, broker.resume_reading)
        )
        yield house


class Client(httpx.AsyncClient):
    """A browser without script: keeps cookies, sends forms with their token and its own origin."""

    def __init__(self, app: Litestar, session_secret: str = "") -> None:
        # What ends in a defect must show as the answer that people would get.
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
        super().__init__(transport=transport, base_url=f"https://{HOST}", headers={"accept": "text/html"})
        self.session_secret = session_secret
        if session_secret:
            self.cookies.set(SESSION_COOKIE, session_secret, domain="gateway.local", path="/")

    async def submit(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """Send a form of the signed-in user."""
        body = urlencode({TOKEN_FIELD: form_token(self.session_secret), **(fields or {})})
        told = {"origin": f"https://{HOST}", "content-type": "application/x-www-form-urlencoded", **headers}
        return await self.post(path, content=body, headers=told)


Browse = Callable[..., Client]


class _Lent:
    """An application that serves one house after another: making one takes longer than most tests.

    What it keeps of whom it served is made anew for each house.
    """

    def __init__(self, house: House) -> None:
        self._gateway = dataclasses.replace(house.gateway)
        self.app = create_app(self._gateway, house.config)
        self._painters = dict(self.app.state.hub._painters)
        self.house: House | None = house

    def serve(self, house: House) -> None:
        """Forget whoever was served before, and serve this house."""
        self.house = house
        # It is frozen for those who use it.
        vars(self._gateway).update(vars(house.gateway))
        hub, quay, packet_logs = self.app.state.hub, self.app.state.quay, self.app.state.packet_logs
        self.app.state.followers.__init__(self._gateway)
        hub.__init__(self._gateway, self._painters, hub._render)
        quay.__init__(self._gateway)
        packet_logs.__init__(self._gateway, moment)
        packet_logs.changed = hub.wake


_applications: list[_Lent] = []


def app_of(house: House) -> Litestar:
    """The application over the house's services, always the same one for a house."""
    if house.config != CONFIG:
        return create_app(house.gateway, house.config)
    for lent in _applications:
        if lent.house is house:
            return lent.app
    free = next((lent for lent in _applications if lent.house is None), None)
    if free is None:
        _applications.append(free := _Lent(house))
    else:
        free.serve(house)
    return free.app


def _give_back(house: House) -> None:
    for lent in _applications:
        if lent.house is house:
            lent.house = None
