"""The parts of the process: each is built of those it needs, and told whom it hears and who hears it."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import msgspec

from appliance import plugins, schedule
from appliance.accounts.service import Accounts
from appliance.alerts.service import Alerts
from appliance.broker_health import broker_status
from appliance.bus import Bus, both
from appliance.commands.dialects.dialect import Cbor
from appliance.commands.jobs.plan.service import JobPlans
from appliance.commands.jobs.service import Jobs
from appliance.commands.service import Commands
from appliance.config import Config
from appliance.console import Console, local_host, reached
from appliance.doors import Doors, Ports
from appliance.enrolment.codes.service import Codes
from appliance.enrolment.renewal.request import est_url
from appliance.enrolment.renewal.service import Renewal
from appliance.enrolment.service import Enrolment
from appliance.enrolment.tray.service import Tray
from appliance.gateway import Gateway
from appliance.health import Health
from appliance.ingestion import cbor
from appliance.ingestion.declaring.service import Units
from appliance.ingestion.importing.service import Importing
from appliance.ingestion.mapping.service import MappingRules
from appliance.ingestion.service import Ingestion
from appliance.ingestion.settling.service import Rooms
from appliance.instant import Clock
from appliance.notifications.channel import Channel
from appliance.notifications.email import SmtpChannel
from appliance.notifications.mailbox import MailboxChannel
from appliance.notifications.service import Notifications
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.presence_log.service import PresenceLog
from appliance.registry.service import Registry
from appliance.sessions.service import Sessions
from appliance.shadows.service import Shadows
from appliance.simulator import wire as simulator
from appliance.store.database import Database
from appliance.stream.replay.messages.service import Messages
from appliance.stream.replay.service import Replay
from appliance.stream.service import Stream
from appliance.telemetry.cold.service import Cold
from appliance.telemetry.exporting.service import Exporting
from appliance.telemetry.journal.service import Journal
from appliance.telemetry.keeping.erasing.service import Elsewhere
from appliance.telemetry.keeping.model import Erasure, StoppedError
from appliance.telemetry.keeping.room.service import Room
from appliance.telemetry.promql.service import Prometheus
from appliance.telemetry.service import Telemetry
from appliance.vitals.service import Sources, Vitals
from broker.forgetting import abandon
from broker.limits import under_aws
from broker.plugins.host import PluginHost
from broker.server import Broker


class Foundation(msgspec.Struct, frozen=True):
    """What the command line needs of the gateway, whether it runs or not."""

    database: Database
    registry: Registry
    catalogue: Catalogue
    accounts: Accounts


class Parts:
    """The parts, built but not started."""

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
        self._journal = Journal(
            folder / "journal", config.telemetry.journal, clock, lambda: self.telemetry.day_files.erased
        )
        rooms, mapping = self._rooms(clock)
        self.ingestion = Ingestion(foundation.database, rooms, self.bus, config.ingestion, clock)
        self.sessions = Sessions(foundation.database, clock)
        limits = under_aws(config.limits) if config.mqtt.aws_limits == "enforce" else config.limits
        self.plugins = PluginHost(wanted.config, clock)
        authorizer = self.plugins.authorizer(foundation.registry)
        self.broker = Broker(self.ingestion, authorizer, clock, limits, self.sessions)
        self._tell_the_broker(foundation.registry)
        stream = self._stream(clock)
        room = self._room(clock)
        self.gateway = Gateway(
            codes=Codes(foundation.database, foundation.registry, clock),
            tray=Tray(foundation.database, foundation.registry, clock, is_open=config.enrolment.knocking),
            enrolment=self._enrolment(clock),
            registry=foundation.registry,
            catalogue=foundation.catalogue,
            accounts=foundation.accounts,
            telemetry=self.telemetry,
            room=room,
            cold=self._cold(room, clock),
            journal=self._journal,
            alerts=self.alerts,
            notifications=self.notifications,
            mailbox=mailbox,
            ingestion=self.ingestion,
            bus=self.bus,
            health=self.health,
            broker=self.broker,
            presence=self._presence(),
            renewal=self._renewal(),
            version=own_version(),
            data_folder=folder,
            started_at=started_at,
            vitals=self._vitals(room, clock),
            exporting=Exporting(self.telemetry, config.cold.memory_mb, units_of=(units := self._units(room)).of),
            importing=self._importing(clock),
            prometheus=Prometheus(self.telemetry),
            stream=stream,
            replay=(replay := Replay(stream, config.ingestion.future_tolerance_ms)),
            messages=Messages(replay, self._journal),
            shadows=self._shadows(room, clock),
            jobs=(jobs := self._jobs(room, clock)),
            job_plans=self._job_plans(jobs, clock),
            commands=self._commands(jobs, room, clock),
            mapping=mapping,
            units=units,
        )
        self.doors = Doors(config.mqtt, foundation.registry.device_tls, wanted.listeners)
        self.health.register_all(
            {**foundation.registry.parts(), **self.gateway.room.parts(), **self.gateway.stream.parts()}
        )
        self.health.register("broker", partial(broker_status, self.broker))
        self.health.register_all({"ingestion": self.ingestion.status, "telemetry": self.telemetry.status})
        self.health.register_all({"cold": self.gateway.cold.status, "journal": self.gateway.journal.status})
        self.health.register_all(
            {
                "commands": self.gateway.commands.status,
                "jobs": self.gateway.job_plans.status,
                "notifications": self.notifications.status,
            }
        )
        if wanted.config.plugins:
            self.health.register("plugins", partial(plugins.status, self.plugins))

    @contextlib.asynccontextmanager
    async def stored(self) -> AsyncIterator[None]:
        """What lies on the disk, open. Python nests no more than twenty contexts in one place."""
        async with (
            self.sessions.opened(),
            self.gateway.units.running(),
            self.gateway.stream.opened(),
            self.gateway.journal.running(),
            self.gateway.cold.running(),
            self.gateway.room.running(),
            self.alerts.opened(),
            self.gateway.mapping.opened(),
        ):
            yield

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """The rooms that answer what clients ask for, at work."""
        async with (
            self.gateway.enrolment.running(self.broker),
            self.gateway.shadows.running(),
            self.gateway.jobs.running(),
            self.gateway.job_plans.running(),
            self.gateway.commands.running(self.broker),
        ):
            yield

    def _rooms(self, clock: Clock) -> tuple[Rooms, MappingRules]:
        """What ingestion decides with; and the rules by which it reads other topics, which people change."""
        registry, type_of = self._foundation.registry, self._foundation.catalogue.type_of
        mapping = MappingRules(self._foundation.database, registry, self._config.ingestion, type_of, clock)
        journal = self._journal
        rooms = (registry, self.alerts, self.telemetry, type_of, journal.note, mapping.book)
        return Rooms(*rooms, lambda: journal.is_keeping), mapping

    def _tell_the_broker(self, registry: Registry) -> None:
        """Have connections judged again when what they hang on has changed."""
        mqtt = self._config.mqtt
        registry.tokens.plain_networks = mqtt.plain_networks
        self.broker.exchange.now_filters = mqtt.acknowledge_now
        self.broker.exchange.retained_source_is_checked = mqtt.retained_source_check
        registry.rights_changed = self.broker.judge_soon
        registry.policy_changed = self.broker.review_soon
        registry.own_authorities.publish = self.broker.publish
        registry.revocation.judge_everybody = self.broker.judge_everybody

    def _vitals(self, room: Room, clock: Clock) -> Vitals:
        """The gateway's own figures."""
        foundation = self._foundation
        sources = Sources(self.health, self.ingestion, room, foundation.registry, self.alerts)
        return Vitals(foundation.database, sources, self.bus, clock, self._config.metrics)

    def _stream(self, clock: Clock) -> Stream:
        """The event log, for those who read it."""
        database, audit = self._foundation.database, self._foundation.registry.audit
        return Stream(database, audit, self.telemetry, self.bus, self._config.stream, clock)

    def _room(self, clock: Clock) -> Room:
        """The room on the disk; what is kept of a device hangs on its type, and for how long on what has passed."""
        foundation, config = self._foundation, self._config
        room = Room(foundation.database, self.telemetry, config.data_folder, config.telemetry, clock)
        room.devices = foundation.registry.devices_of_all
        room.passed_at = lambda: foundation.registry.time.reading().passed_at
        room.keeping.follow(self.ingestion.settled)
        return room

    def _cold(self, room: Room, clock: Clock) -> Cold:
        """Days as Parquet; whoever keeps days, drops them and asks for readings hears of them."""
        cold = Cold(self._foundation.database, self._config.data_folder, self._config.cold, clock)
        cold.follow(room, self._config.telemetry)
        self.telemetry.cold = cold
        cold.missing = self.telemetry.day_files.missing
        self._journal.follow(room)
        return cold

    def _shadows(self, room: Room, clock: Clock) -> Shadows:
        """What is wanted of devices and what they report; it goes with what was received of a device."""
        shadows = Shadows(self._foundation.database, self._config.shadows, clock)
        shadows.together, shadows.publish = self.ingestion.together, self.broker.publish
        shadows.is_heard = self.broker.is_heard
        shadows.announce = self.bus.announce
        self.ingestion.company.rooms += (shadows,)
        registry = self._foundation.registry
        registry.gone = both(registry.gone, shadows.gone)
        room.keeping.follow_erasing(of_each(shadows.erase))
        return shadows

    def _jobs(self, room: Room, clock: Clock) -> Jobs:
        """Work that is offered to devices, and what they say of it."""
        registry = self._foundation.registry
        jobs = Jobs(self._foundation.database, self._config.commands, clock)
        jobs.passed_at = lambda: registry.time.reading().passed_at
        jobs.together, jobs.announce = self.ingestion.together, self.bus.announce
        jobs.publish, jobs.reply = self.broker.publish, self.broker.reply
        self.ingestion.company.rooms += (jobs,)
        room.keeping.follow_erasing(of_each(jobs.erase))
        return jobs

    def _job_plans(self, jobs: Jobs, clock: Clock) -> JobPlans:
        """Whom jobs are for, and when; they hear of what becomes of each."""
        foundation = self._foundation
        plans = JobPlans(foundation.database, foundation.registry, foundation.catalogue, jobs, clock)
        jobs.ended, jobs.is_open = plans.ended, plans.shows
        return plans

    def _commands(self, jobs: Jobs, room: Room, clock: Clock) -> Commands:
        """What is wanted of devices; it hears who comes, who goes and who subscribes."""
        foundation, ingestion, desk = self._foundation, self.ingestion, self.broker.desk
        registry = foundation.registry
        commands = Commands(foundation.database, registry, foundation.catalogue, self._config.commands, clock)
        commands.follow(ingestion.together, Cbor(cbor.encode, cbor.decode), ingestion.first)
        commands.speak_jobs(jobs)
        commands.publish, commands.answer, commands.note = self.broker.publish, self.broker.answer, ingestion.note
        commands.bus, commands.courier.abandon = self.bus, partial(abandon, self.broker.exchange)
        commands.courier.follow = self.broker.exchange.follow
        commands.read_less(self.broker.traffic.poller.hurry)
        ingestion.company.rooms += (commands,)
        ingestion.noted = both(ingestion.noted, commands.heard)
        desk.heard = both(desk.heard, commands.heard_subscribed)
        room.keeping.follow_erasing(of_each(commands.forgetting.erase))
        registry.gone = both(registry.gone, commands.gone)
        return commands

    def _units(self, room: Room) -> Units:
        """What the metrics of devices are counted in; what a device declared goes with what was received of it."""
        foundation = self._foundation
        units = Units(foundation.database, foundation.catalogue, self.ingestion.quality.declared)
        room.keeping.follow_erasing(of_each(units.erase))
        return units

    def _importing(self, clock: Clock) -> Importing:
        """Readings that come in tables."""
        tolerance_ms = self._config.ingestion.future_tolerance_ms
        return Importing(self._foundation.registry, self.telemetry, self.ingestion, clock, tolerance_ms)

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
            "upload days": (self._config.cold.s3.schedule, self.gateway.cold.upload_soon),
            "look after device tokens": ("* * * * *", self._foundation.registry.tokens.look_after),
            # What a full disk has left to do.
            "tell which attempts to sign in failed": ("* * * * *", tell_refused),
            "finish what the audit log and the CAs began": ("* * * * *", self._foundation.registry.catch_up),
            "forget jobs that ended long ago": ("7 3 * * *", self.gateway.jobs.forget_old),
            "finish revocations": ("* * * * *", self._foundation.registry.revocation.look_after),
        }


def of_each(erase: Callable[[int, str, int], Awaitable[None]]) -> Elsewhere:
    """Have one room erase what it has of each device."""

    async def erase_all(erasures: Sequence[Erasure], is_stopping: Callable[[], bool]) -> None:
        for one in erasures:
            # Of a person's many devices a stop does not wait for the last.
            if is_stopping():
                raise StoppedError
            await erase(one.tenant_id, one.device_id, one.asked_at)

    return erase_all


def own_version() -> str:
    """The version that is installed."""
    try:
        return version("headworks")
    except PackageNotFoundError:
        return "0.1.0"
