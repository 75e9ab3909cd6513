"""What is around every page: navigation, how the gateway is, who is signed in."""

import time
from typing import Any

import msgspec
from litestar import Request

from appliance.accounts.model import User
from appliance.gateway import Gateway
from web.auth import Caller, form_token
from web.painting import Part


class NavItem(msgspec.Struct, frozen=True):
    """One place in the navigation."""

    key: str
    address: str
    icon: str
    label: str


class Pulse(msgspec.Struct, frozen=True):
    """How the gateway is, in the few numbers that are always in sight."""

    messages_per_second: float
    lag_p95_ms: int
    online_count: int
    firing_count: int
    is_well: bool


class Frame(msgspec.Struct, frozen=True):
    """What the layout needs besides the page's own context."""

    user: User
    items: tuple[NavItem, ...]
    pulse: Pulse
    form_token: str
    version: str
    started_at: int
    now: int


def moment() -> int:
    """The present moment, UTC milliseconds."""
    return time.time_ns() // 1_000_000


def nav_items(gateway: Gateway) -> tuple[NavItem, ...]:
    """The places that exist on this gateway."""
    items = [
        NavItem("overview", "/", "layout-dashboard", "Overview"),
        NavItem("devices", "/devices", "cpu", "Devices"),
        NavItem("alerts", "/alerts", "bell", "Alerts"),
        NavItem("commands", "/commands", "send", "Commands"),
        NavItem("jobs", "/jobs", "list-checks", "Jobs"),
        NavItem("enrolment", "/enrolment", "key-round", "Enrolment"),
        NavItem("policies", "/policies", "shield-check", "Policies"),
    ]
    if gateway.mailbox is not None:
        items.append(NavItem("mailbox", "/mailbox", "inbox", "Mailbox"))
    items.append(NavItem("settings", "/settings", "settings", "Settings"))
    return tuple(items)


def pulse(gateway: Gateway, tenant_id: int) -> Pulse:
    """How the gateway is now."""
    rates = gateway.ingestion.rates()
    return Pulse(
        messages_per_second=round(rates.messages_per_second, 1),
        lag_p95_ms=rates.lag_p95_ms,
        online_count=gateway.registry.connected_count(tenant_id),
        firing_count=gateway.alerts.firing_count(tenant_id),
        is_well=all(status.ok for status in gateway.health.statuses().values()),
    )


def live_parts(now: Pulse) -> dict[str, Part]:
    """The live pieces of the layout, by the identifier of their element."""
    return {
        "health": Part("fragments/health.html", now),
        "firing-count": Part("fragments/firing_count.html", now),
        "online-count": Part("fragments/online_count.html", now),
    }


def provide_frame(gateway: Gateway, request: Request[User, Caller, Any]) -> Frame:
    """The frame of the page that this request asks for."""
    return Frame(
        user=request.user,
        items=nav_items(gateway),
        pulse=pulse(gateway, request.user.tenant_id),
        form_token=form_token(request.auth.session_secret),
        version=gateway.version,
        started_at=gateway.started_at,
        now=moment(),
    )
