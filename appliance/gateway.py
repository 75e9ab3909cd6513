"""What the web may reach: one field per service."""

from dataclasses import dataclass
from pathlib import Path

from appliance.accounts.service import Accounts
from appliance.alerts.service import Alerts
from appliance.bus import Bus
from appliance.health import Health
from appliance.ingestion.service import Ingestion
from appliance.notifications.mailbox import MailboxChannel
from appliance.notifications.service import Notifications
from appliance.registry.service import Registry
from appliance.telemetry.service import Telemetry
from broker.server import Broker


@dataclass(frozen=True)
class Gateway:
    """The services of the running gateway, and what is known of the process itself."""

    registry: Registry
    accounts: Accounts
    telemetry: Telemetry
    alerts: Alerts
    notifications: Notifications
    mailbox: MailboxChannel | None
    """The local mailbox that e-mails go into when no server is set; None with a real server."""
    ingestion: Ingestion
    broker: Broker
    bus: Bus
    health: Health
    version: str
    data_folder: Path
    started_at: int
    """UTC milliseconds."""
