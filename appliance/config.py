"""The settings file as frozen structs; the only reader of the environment.

One TOML file, read once. Unknown keys are refused, so that a typing error cannot silently leave a
default in force. `HEADWORKS__SECTION__KEY` in the environment overrides a key, for containers; a
list is written between commas there.
Secrets are given as the path of a file that holds them.
"""

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from appliance import settings_text
from appliance.cold_settings import ColdConfig
from appliance.errors import ApplianceError
from appliance.monitoring import MetricsConfig
from appliance.plane_settings import CommandsConfig, ShadowsConfig
from broker.limits import Count, Limits, Seconds
from broker.plugins.ports import Mode
from broker.topics import filter_fault

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[int, msgspec.Meta(gt=0)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]

PREFIX = "HEADWORKS__"
OFF = settings_text.OFF
HIDDEN = settings_text.HIDDEN


class ConfigError(ApplianceError):
    """The settings cannot be used; the message names the file, the key and what was expected."""

    code = "invalid_config"


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every section has in common."""


class MqttConfig(_Section, frozen=True):
    """Where devices connect."""

    host: str = "0.0.0.0"  # noqa: S104  devices reach the gateway from the whole LAN
    port: Port = 8883
    shared_port: Port | None = 9443
    """One port for MQTT with certificates and HTTPS, told apart by what the client asks for; or `off`."""
    plain_port: Port | None = None
    """Unencrypted MQTT without a certificate, for this machine and `plain_networks`; `off` unless set."""
    plain_networks: tuple[str, ...] = ()
    """Networks, such as `192.168.7.0/24`, whose devices may use the plain port. Nothing else protects it."""
    token_port: Port | None = None
    """MQTT over TLS for devices that show a token and no certificate; `off` unless set."""
    aws_limits: str = OFF
    """`enforce` takes nothing that AWS IoT Core would not take; `off` keeps to the section `limits`."""
    retained_source_check: bool = True
    """A retained message is shown to nobody once its publisher has lost the right to publish it."""
    acknowledge_now: tuple[str, ...] = ()
    """Topic filters whose messages are acknowledged at once, before they are on disk."""


class PluginsConfig(_Section, frozen=True):
    """Plugins written for amqtt. Without any, amqtt is not needed."""

    mode: Mode = Mode.NARROW
    """Whom plugins are asked about: `narrow`, devices; `guests`, clients that nobody here knows; or `both`."""
    guest_filters: tuple[str, ...] = ()
    """What guests may publish to and subscribe to at most; plugins narrow it."""
    amqtt_config: str = ""
    """A configuration file of amqtt, whose plugins and plain listeners are taken over."""
    answer_timeout_s: Seconds = 5.0
    """How long one plugin may think before its answer is a refusal."""
    open_questions: Count = 1_000
    """Questions that may wait for their answers; beyond it the answer is a refusal."""
    waiting_events: Count = 10_000
    """Events that may wait for plugins; beyond it they are dropped and counted."""
    classes: dict[str, dict[str, Any]] = {}
    """Options of plugins by their class path."""

    @property
    def has_any(self) -> bool:
        """Whether a plugin may be configured."""
        return bool(self.classes or self.amqtt_config)


class HttpConfig(_Section, frozen=True):
    """Where people connect."""

    host: str = "0.0.0.0"  # noqa: S104  people reach the gateway from the whole LAN
    port: Port = 8443
    trust_port: Port | None = 8080
    """Plain HTTP: the page that offers the certificate of the web CA, and a redirect. Or `off`."""
    enrolment_port: Port | None = 8444
    """EST over HTTPS with the certificate that devices trust, for those who have none yet; or `off`."""
    knock_port: Port | None = None
    """Enrolment for devices that show a certificate of their own making and wait in the tray; `off` unless set."""
    names: tuple[str, ...] = ()
    """Further host names by which people and devices reach this gateway."""
    device_host: str = "devices.headworks.internal"
    """The name by which a device calls that wants HTTPS with its certificate on the shared port; empty for none."""
    body_limit_bytes: Positive = 1_048_576
    session_idle_ms: Positive = 30 * 60_000
    session_length_ms: Positive = 12 * 3_600_000

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names in server certificates besides those that the machine has."""
        return (*self.names, self.device_host) if self.device_host else self.names


class IngestionConfig(_Section, frozen=True):
    """How published messages are committed."""

    commit_interval_ms: NotNegative = 100
    """How long a message waits for its place on the disk while its batch collects; 0 on an SSD."""
    answer_interval_ms: NotNegative = 40
    """The same of a message to which its client waits for an answer, if that is shorter."""
    batch_messages: Positive = 2_000
    """A batch of this many messages, about 64 kB of encoded log, is committed at once."""
    backlog_messages: Positive = 10_000
    payload_limit_bytes: Positive = 131_072
    future_tolerance_ms: NotNegative = 300_000
    """A reading further ahead of the gateway's clock than this is filed under its arrival."""
    past_tolerance_ms: NotNegative = 31_622_400_000
    """The same for a reading further back, 366 days: no clock that is wrong may fill the disk with old days."""


class JournalConfig(_Section, frozen=True):
    """Whether messages are kept as they came, byte for byte, and how much of that."""

    enabled: bool = False
    hours: Positive = 24
    """For how long; older ones go."""
    bytes: Annotated[int, msgspec.Meta(ge=1_000_000)] = 1_000_000_000
    """How much they may take, beside the readings; beyond it the oldest go."""


class TelemetryConfig(_Section, frozen=True):
    """How readings are kept."""

    seal_after_ms: Positive = 600_000
    seal_after_reports: Positive = 720
    memory_limit_reports: Positive = 2_000_000
    """Reports held in open chunks of all devices together, wide ones and long texts counted as several.

    Beyond it the oldest chunk is sealed early.
    """
    late_grace_ms: NotNegative = 7_200_000
    """How long after its end a day waits for late readings before it is sealed, at night."""
    keep_days: NotNegative = 0
    """How many whole days of readings are kept; 0 keeps them for as long as there is room."""
    keep_days_of_types: dict[str, Positive] = {}
    """The same by device type, where it is less."""
    keep_days_of_devices: dict[str, Positive] = {}
    """The same by device id, before its type."""
    disk_budget_gb: NotNegative = 0
    """How much the data folder may take, in 10^9 bytes; 0 leaves 15 % of the disk free."""
    drop_when_full: bool = True
    """Whether the oldest day goes when the disk is full; otherwise nothing is taken until somebody makes room."""
    reserve_mb: NotNegative = 64
    """The file, in 10^6 bytes, that is given up first when the disk is full; 0 for none."""
    journal: JournalConfig = JournalConfig()


class StreamConfig(_Section, frozen=True):
    """How the event log is kept for those who read it."""

    hold_mb: NotNegative = 256
    """How much of a tenant's log, in 10^6 bytes, stays for consumers that lag behind; then it is trimmed past them."""
    streams_limit: Positive = 64
    """How many may follow `GET /v1/stream` at a time."""


class AlertsConfig(_Section, frozen=True):
    """How often people are told."""

    high_cooldown_ms: NotNegative = 300_000
    """Least time between two notices of one rule and device, for the severities high and critical."""
    cooldown_ms: NotNegative = 900_000
    """The same for every other severity."""


class EmailConfig(_Section, frozen=True):
    """How e-mail leaves. Without a server it is put into the local mailbox, which the page shows."""

    server: str = ""
    port: Port = 587
    security: str = "starttls"
    """`starttls`, `tls` or `none`."""
    username: str = ""
    password_file: str = ""
    sender: str = "headworks@localhost"
    timeout_ms: Positive = 20_000


class EnrolmentConfig(_Section, frozen=True):
    """How devices become known."""

    knocking: bool = True
    """Whether a device without an enrolment code may ask to be let in, and wait in the pending tray."""
    renewals_a_day: Positive = 10
    """How many certificates one device may renew on one day."""


class CaConfig(_Section, frozen=True):
    """Where the key of the issuing CA is, if not in the data folder: in a token behind a PKCS #11 module."""

    pkcs11_module: str = ""
    """The path of the module, a shared library of the token's maker; empty for none."""
    pkcs11_token: str = ""
    """The label of the token."""
    pkcs11_key: str = "headworks-issuing"
    """The label of the key in it."""
    pin_file: str = ""
    """The file that holds the token's PIN, with mode 600."""


class PresenceConfig(_Section, frozen=True):
    """When a device counts as silent."""

    expected_interval_ms: NotNegative = 600_000
    """How often a device is expected to say something whose type does not tell; after three times that it is silent.

    0 expects nothing.
    """


class LogConfig(_Section, frozen=True):
    """What is logged."""

    level: str = "info"


class Config(_Section, frozen=True):
    """Everything that can be set."""

    data: str = "var"
    """The folder that holds the databases, keys and certificates."""
    mqtt: MqttConfig = MqttConfig()
    limits: Limits = Limits()
    plugins: PluginsConfig = PluginsConfig()
    http: HttpConfig = HttpConfig()
    ingestion: IngestionConfig = IngestionConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    stream: StreamConfig = StreamConfig()
    alerts: AlertsConfig = AlertsConfig()
    email: EmailConfig = EmailConfig()
    enrolment: EnrolmentConfig = EnrolmentConfig()
    presence: PresenceConfig = PresenceConfig()
    ca: CaConfig = CaConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    cold: ColdConfig = ColdConfig()
    shadows: ShadowsConfig = ShadowsConfig()
    commands: CommandsConfig = CommandsConfig()

    @property
    def data_folder(self) -> Path:
        """The data folder as an absolute path."""
        return Path(self.data).absolute()


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the settings file and what the environment overrides; without a file, the defaults.

    Raises `ConfigError` when the file is missing, is not TOML, or holds what is not known.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    is_overridden = _override(raw, os.environ if environment is None else environment)
    source = f"{path} and the environment" if path and is_overridden else str(path or "the environment")
    _switch_off(raw)
    try:
        # Not strict, so that a number given by the environment, which is text, is a number.
        config = msgspec.convert(raw, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}") from error
    _check(config, source)
    return config


def printed(config: Config) -> str:
    """What is in force, as a settings file that says the same. Secrets are only ever named by their file."""
    lines = [f"data = {msgspec.json.encode(config.data).decode()}"]
    for name in config.__struct_fields__:
        section = getattr(config, name)
        if isinstance(section, msgspec.Struct):
            lines += settings_text.section(name, section)
    return "\n".join(lines) + "\n"


def _override(raw: dict[str, Any], environment: Mapping[str, str]) -> bool:
    """Put in what the environment says; whether it says anything."""
    names = sorted(name for name in environment if name.startswith(PREFIX))
    for name in names:
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        target: Any = raw
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigError(f"{name}: {section} is not a section of the settings")
        target[key] = _split(sections, key, environment[name])
    return bool(names)


def _split(sections: list[str], key: str, text: str) -> str | list[str] | dict[str, str]:
    """What a variable says: a list between commas where the setting is one, names and values where it has such."""
    default: Any = Config()
    for name in (*sections, key):
        default = getattr(default, name, None)
    parts = [stripped for each in text.split(",") if (stripped := each.strip())]
    if isinstance(default, dict) and all("=" in part for part in parts):
        return {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in parts)}
    return parts if isinstance(default, tuple) else text


def _switch_off(raw: dict[str, Any]) -> None:
    """Let the word `off` close a port or lift a limit that has no number: TOML has no null."""
    for section in raw.values():
        if isinstance(section, dict):
            for key, value in section.items():
                if key.endswith(("_port", "keep_alive_s")) and value == OFF:
                    section[key] = None


def _check(config: Config, source: str) -> None:
    _check_mqtt(config.mqtt, source)
    _check_plugins(config.plugins, source)
    if config.email.security not in ("starttls", "tls", "none"):
        raise ConfigError(f"{source}: email.security is {config.email.security!r}, expected starttls, tls or none")
    if config.log.level not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"{source}: log.level is {config.log.level!r}, expected debug, info, warning or error")
    if config.ca.pkcs11_module and not (config.ca.pkcs11_token and config.ca.pin_file):
        raise ConfigError(f"{source}: ca.pkcs11_module is set, so ca.pkcs11_token and ca.pin_file must be, too")
    if words := config.cold.fault():
        raise ConfigError(f"{source}: {words}")
    if config.email.username and not config.email.password_file:
        raise ConfigError(f"{source}: email.username is set, so email.password_file must name the file of its password")


def _check_mqtt(mqtt: MqttConfig, source: str) -> None:
    if mqtt.aws_limits not in (OFF, "enforce"):
        raise ConfigError(f"{source}: mqtt.aws_limits is {mqtt.aws_limits!r}, expected off or enforce")
    for network in mqtt.plain_networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigError(f"{source}: mqtt.plain_networks: {error}") from error
    for topic_filter in mqtt.acknowledge_now:
        fault = filter_fault(topic_filter, Limits())
        if fault:
            raise ConfigError(f"{source}: mqtt.acknowledge_now: {topic_filter!r}: {fault}")


def _check_plugins(plugins: PluginsConfig, source: str) -> None:
    if plugins.mode is not Mode.NARROW and not plugins.has_any:
        raise ConfigError(f"{source}: plugins.mode is '{plugins.mode}', but no plugin is configured to admit guests")
    for topic_filter in plugins.guest_filters:
        fault = filter_fault(topic_filter, Limits())
        if fault:
            raise ConfigError(f"{source}: plugins.guest_filters: {topic_filter!r}: {fault}")
