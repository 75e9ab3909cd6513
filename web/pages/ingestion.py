"""Ingestion: how far it lags, and how long messages take, stage by stage."""

from collections.abc import Sequence

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.response import Template

from appliance.alerts.model import Limit
from appliance.gateway import Gateway
from appliance.histogram import MICROSECONDS_PER_MS, Histogram
from appliance.ingestion.stages import Stage, Stages
from appliance.registry.model import DEFAULT_TENANT
from web import painting
from web.histograms import Drawing, drawing, length_in_words
from web.roles import is_enough, least_role
from web.shell import Frame

PARTS = {"half": 0.5, "95 of 100": 0.95, "99 of 100": 0.99}
"""Of the messages, as the page says it."""

_STAGES = {
    Stage.DECIDED: (
        "Received to decided",
        "waits for company up to the commit interval, then it is decoded and judged",
    ),
    Stage.COMMITTED: ("Decided to committed", "until the batch is on the disk: what the card or the disk takes"),
    Stage.ACKNOWLEDGED: ("Committed to acknowledged", "until the device was told"),
}


class Shown(msgspec.Struct, frozen=True):
    """One histogram."""

    key: str
    title: str
    told: str
    count: int
    drawn: Drawing | None
    parts: dict[str, str]
    """What each part of the messages did not take longer than."""


class Offer(msgspec.Struct, frozen=True):
    """A rule that can be made with one button."""

    name: str
    told: str
    metric: str
    operator: str
    threshold: str
    hold_seconds: str
    is_there: bool
    """Whether a rule of this name was made."""


class View(msgspec.Struct, frozen=True):
    """What of the page is live."""

    is_well: bool
    told: str
    lag: str
    per_second: float
    backlog: int
    committed: int
    shown: tuple[Shown, ...]


@get("/ingestion", include_in_schema=False)
async def show_ingestion(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The page."""
    # These rules are about the gateway, and so for those whose gateway it is.
    is_watched = frame.user.tenant_id == DEFAULT_TENANT
    rules = gateway.alerts.rules(frame.user.tenant_id)
    context = {
        "frame": frame,
        "now": frame.now,
        "view": _look(gateway),
        "offers": offers(rules) if is_watched else (),
        "may_add": is_enough(frame.user.role, least_role("POST", "/alert-rules")),
    }
    return Template("pages/ingestion.html", context=context)


async def paint(stage: painting.Stage) -> painting.Painting:
    """The live piece of the page: all but the rules."""
    part = painting.Part("fragments/ingestion.html", _look(stage.gateway))
    return painting.Painting((part,), {"ingestion": part})


def shown(stages: Stages) -> tuple[Shown, ...]:
    """Every histogram of the page."""
    return (
        _shown("whole", "Received to acknowledged", "what a device waits for", stages.whole),
        _shown("stored", "Received to committed", "until it is on the disk", stages.stored),
        *(_shown(stage.value, *_STAGES[stage], histogram) for stage, histogram in stages.each.items()),
        _shown("age", "Moment of the reading to committed", "of devices whose clock is believed", stages.age),
    )


def offers(rules: Sequence[Limit]) -> tuple[Offer, ...]:
    """The rules that most gateways should have."""
    known = {rule.name for rule in rules}
    wanted = (
        ("Ingestion lags", "messages wait for more than 10 s", "gateway.ingestion_lag_seconds", "GREATER_THAN", 10, 60),
        (
            "Storing takes long",
            "of 100 messages more than 5 take longer than 1 s to the disk",
            "gateway.store_p95_seconds",
            "GREATER_THAN",
            1,
            300,
        ),
        ("Disk fills up", "the disk lasts for less than 14 days", "gateway.disk_days_left", "LESS_THAN", 14, 600),
        (
            "Consumer lags",
            "a consumer is behind by more than 10 min",
            "gateway.consumer_lag_seconds",
            "GREATER_THAN",
            600,
            60,
        ),
        ("Part not well", "a part of the gateway is not well", "gateway.unhealthy_parts", "GREATER_THAN", 0, 60),
    )
    return tuple(
        Offer(name, told, metric, operator, str(threshold), str(hold_s), name in known)
        for name, told, metric, operator, threshold, hold_s in wanted
    )


def _look(gateway: Gateway) -> View:
    rates, status = gateway.ingestion.rates(), gateway.ingestion.status()
    return View(
        is_well=status.ok,
        told=status.summary,
        lag=length_in_words(rates.lag_ms * MICROSECONDS_PER_MS),
        per_second=rates.messages_per_second,
        backlog=int(status.details["backlog_messages"]),
        committed=int(status.details["committed_messages"]),
        shown=shown(gateway.vitals.lately()),
    )


def _shown(key: str, title: str, told: str, histogram: Histogram) -> Shown:
    parts = {name: length_in_words(histogram.quantile_us(part)) for name, part in PARTS.items()}
    return Shown(key, title, told, histogram.count, drawing(histogram), parts)


HANDLERS = (show_ingestion,)
