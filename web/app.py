"""The web application: which routes there are, and what every request passes."""

from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig

from appliance.accounts.model import User
from appliance.config import HttpConfig
from appliance.gateway import Gateway
from web import errors, est, live, mqtt, pki, shell
from web.acting import Acting
from web.api import alert_rules, openapi, quality, questions, status, telemetry
from web.api import alerts as alerts_api
from web.api import audit as audit_api
from web.api import certificates as certificates_api
from web.api import claims as claims_api
from web.api import clock as clock_api
from web.api import commands as commands_api
from web.api import connections as connections_api
from web.api import device as device_api
from web.api import device_tables as device_tables_api
from web.api import device_tokens as device_tokens_api
from web.api import device_types as device_types_api
from web.api import devices as devices_api
from web.api import enrolment as enrolment_api
from web.api import exports as exports_api
from web.api import issuers as issuers_api
from web.api import jobs as jobs_api
from web.api import mapping_rules as mapping_rules_api
from web.api import metrics as metrics_api
from web.api import own_authorities as own_authorities_api
from web.api import packets as packets_api
from web.api import policies as policies_api
from web.api import prometheus as prometheus_api
from web.api import sessions as sessions_api
from web.api import shadows as shadows_api
from web.api import storage as storage_api
from web.api import stream as stream_api
from web.api import type_commands as type_commands_api
from web.assets import Assets
from web.auth import Caller, SignedIn
from web.devices_only import DevicesOnly
from web.following import Followers
from web.heads import Application
from web.packet_log import PacketLogs
from web.pages import (
    alerts,
    audit,
    certificates,
    claim,
    claims,
    command_batches,
    commands,
    connections,
    device,
    device_commands,
    device_edit,
    device_erase,
    device_import,
    device_policy,
    device_tokens,
    device_types,
    devices,
    enrol,
    enrolment,
    ingestion,
    issuers,
    job_new,
    jobs,
    mailbox,
    mapping_rules,
    overview,
    own_authorities,
    packets,
    policies,
    readings,
    settings,
    shadow,
    sign_in,
    storage,
    stream,
    type_commands,
)
from web.protection import BodyLimit, NoForgery, add_headers
from web.roles import RightRole
from web.static_files import static_file
from web.templating import FOLDER, environment, renderer

PAGES = (
    audit,
    certificates,
    issuers,
    overview,
    devices,
    device_edit,
    device_erase,
    device_import,
    device,
    device_tokens,
    device_types,
    type_commands,
    shadow,
    device_commands,
    commands,
    command_batches,
    job_new,
    jobs,
    connections,
    packets,
    policies,
    device_policy,
    alerts,
    mailbox,
    settings,
    storage,
    readings,
    stream,
    ingestion,
    mapping_rules,
    claim,
    claims,
    sign_in,
    enrolment,
    own_authorities,
    enrol,
)
NOUNS = (
    certificates_api,
    issuers_api,
    audit_api,
    pki,
    devices_api,
    device_types_api,
    type_commands_api,
    commands_api,
    jobs_api,
    device_tables_api,
    connections_api,
    packets_api,
    quality,
    policies_api,
    mapping_rules_api,
    sessions_api,
    shadows_api,
    device_api,
    device_tokens_api,
    telemetry,
    questions,
    exports_api,
    prometheus_api,
    storage_api,
    stream_api,
    alerts_api,
    alert_rules,
    openapi,
    status,
    metrics_api,
    claims_api,
    clock_api,
    enrolment_api,
    own_authorities_api,
    est,
)


def create_app(gateway: Gateway, config: HttpConfig) -> Litestar:
    """The application over these services.

    What its `state` holds is to be kept running while it is served.
    """
    assets = Assets(FOLDER / "static")
    templates = environment(assets)
    packet_logs = PacketLogs(gateway, shell.moment)
    painters = {
        "overview": overview.paint,
        "devices": devices.paint,
        "device": device.painter(packet_logs),
        "alerts": alerts.paint,
        "ingestion": ingestion.paint,
        "device-commands": device_commands.paint,
        "commands": commands.paint,
        "command-batches": command_batches.paint,
        "command-batch": command_batches.paint_batch,
        "jobs": jobs.paint,
        "job": jobs.paint_job,
        "shadow": shadow.paint,
    }
    hub = live.Hub(gateway, painters, renderer(templates))
    packet_logs.changed = hub.wake
    quay = mqtt.Quay(gateway)
    followers = Followers(gateway)

    def provide_gateway() -> Gateway:
        return gateway

    def provide_hub() -> live.Hub:
        return hub

    def provide_quay() -> mqtt.Quay:
        return quay

    def provide_followers() -> Followers:
        return followers

    def provide_packet_logs() -> PacketLogs:
        return packet_logs

    def provide_assets() -> Assets:
        return assets

    def provide_http() -> HttpConfig:
        return config

    def provide_frame(request: Request[User, Caller, State]) -> shell.Frame:
        return shell.provide_frame(gateway, request)

    return Application(
        route_handlers=[
            *(handler for module in (*PAGES, *NOUNS) for handler in module.HANDLERS),
            live.follow,
            mqtt.carry_mqtt,
            static_file,
        ],
        dependencies={
            "gateway": Provide(provide_gateway, sync_to_thread=False),
            "hub": Provide(provide_hub, sync_to_thread=False),
            "quay": Provide(provide_quay, sync_to_thread=False),
            "followers": Provide(provide_followers, sync_to_thread=False),
            "packet_logs": Provide(provide_packet_logs, sync_to_thread=False),
            "assets": Provide(provide_assets, sync_to_thread=False),
            "http": Provide(provide_http, sync_to_thread=False),
            "frame": Provide(provide_frame, sync_to_thread=False),
        },
        middleware=[
            BodyLimit(config.body_limit_bytes),
            DevicesOnly(),
            SignedIn(gateway),
            Acting(),
            RightRole(),
            NoForgery(),
        ],
        exception_handlers=errors.HANDLERS,
        before_send=[add_headers],
        template_config=TemplateConfig(instance=JinjaTemplateEngine.from_environment(templates)),
        openapi_config=OpenAPIConfig(
            title="Headworks",
            version=gateway.version,
            # Litestar serves this in its own way, with an answer of its own below it to whatever it does not
            # know: it stands where it is in nobody's way. Ours is api/openapi.py.
            path="/v1/openapi",
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        ),
        request_max_body_size=config.body_limit_bytes,
        state=State({"hub": hub, "quay": quay, "packet_logs": packet_logs, "followers": followers}),
        logging_config=None,
    )
