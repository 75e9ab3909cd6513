"""What the web may reach: one field per service."""

from dataclasses import dataclass
from pathlib import Path

from appliance.accounts.service import Accounts
from appliance.alerts.service import Alerts
from appliance.bus import Bus
from appliance.commands.jobs.plan.service import JobPlans
from appliance.commands.jobs.service import Jobs
from appliance.commands.service import Commands
from appliance.enrolment.codes.service import Codes
from appliance.enrolment.renewal.service import Renewal
from appliance.enrolment.service import Enrolment
from appliance.enrolment.tray.service import Tray
from appliance.health import Health
from appliance.ingestion.declaring.service import Units
from appliance.ingestion.importing.service import Importing
from appliance.ingestion.mapping.service import MappingRules
from appliance.ingestion.service import Ingestion
from appliance.notifications.mailbox import MailboxChannel
from appliance.notifications.service import Notifications
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.presence_log.service import PresenceLog
from appliance.registry.service import Registry
from appliance.shadows.service import Shadows
from appliance.stream.replay.messages.service import Messages
from appliance.stream.replay.service import Replay
from appliance.stream.service import Stream
from appliance.telemetry.cold.service import Cold
from appliance.telemetry.exporting.service import Exporting
from appliance.telemetry.journal.service import Journal
from appliance.telemetry.keeping.room.service import Room
from appliance.telemetry.promql.service import Prometheus
from appliance.telemetry.service import Telemetry
from appliance.vitals.service import Vitals
from broker.server import Broker


@dataclass(frozen=True)
class Gateway:
    """The services of the running gateway, and what is known of the process itself."""

    registry: Registry
    catalogue: Catalogue
    accounts: Accounts
    telemetry: Telemetry
    room: Room
    """On the disk; and what keeps the days of readings."""
    alerts: Alerts
    notifications: Notifications
    mailbox: MailboxChannel | None
    """The local mailbox that e-mails go into when no server is set; None with a real server."""
    ingestion: Ingestion
    codes: Codes
    tray: Tray
    renewal: Renewal
    enrolment: Enrolment
    """Claims, and whoever comes with one."""
    broker: Broker
    presence: PresenceLog
    bus: Bus
    health: Health
    version: str
    data_folder: Path
    started_at: int
    """UTC milliseconds."""
    cold: Cold
    vitals: Vitals
    """The gateway's own figures."""
    exporting: Exporting
    importing: Importing
    prometheus: Prometheus
    stream: Stream
    """The event log, for those who read it."""
    replay: Replay
    """What was received in an interval, once more."""
    messages: Messages
    """The same as messages: as they came, where they are kept so, or written anew of what was understood."""
    journal: Journal
    """Messages as they came, if they are kept."""
    shadows: Shadows
    jobs: Jobs
    """Work for devices, as each of them sees it."""
    job_plans: JobPlans
    """And whom it is for, at which pace, and when it is enough."""
    commands: Commands
    """What is wanted of devices, and how far each wish has come."""
    mapping: MappingRules
    """How what devices publish on topics of their own becomes telemetry."""
    units: Units
    """What the metrics of devices are counted in."""
