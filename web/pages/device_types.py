"""Types of devices: what is known of all devices of a type."""

from collections.abc import Mapping

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, URLEncodedBody
from litestar.response import Template

from appliance.errors import ApplianceError, InvalidInputError
from appliance.gateway import Gateway
from appliance.instant import SECOND_MS
from appliance.registry.catalogue.model import DeviceType, Violation
from web import metric_rules
from web.errors import status_of
from web.shell import Frame

VIOLATION_WORDS = {
    Violation.KEEP.value: "keep them",
    Violation.FLAG.value: "keep them, and show a problem",
    Violation.REJECT.value: "leave them out, and show a problem",
}


class TypeForm(msgspec.Struct, frozen=True):
    """A type as it is written into the form."""

    name: str = ""
    description: str = ""
    units: str = ""
    """A line for each metric: `pressure = kPa`."""
    interval_seconds: str = ""
    metrics: str = ""
    """A line for each metric: `pressure = number, 0 to 60, reject`."""
    unknown_metrics: str = Violation.KEEP.value


class NameForm(msgspec.Struct, frozen=True):
    """The name of a type."""

    name: str = ""


@get("/device-types", include_in_schema=False)
async def show_types(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], name: FromQuery[str] = ""
) -> Template:
    """The page; with a name the form holds that type."""
    known = {kind.name: kind for kind in gateway.catalogue.types(frame.user.tenant_id)}
    return _page(gateway, frame, _form(known[name]) if name in known else TypeForm(name=name), "")


@post("/device-types", include_in_schema=False, status_code=303)
async def keep_type(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[TypeForm]
) -> Response[None] | Template:
    """Describe a type, or one that is there otherwise; or the form again, with what was wrong."""
    tenant_id = frame.user.tenant_id
    try:
        told = _told(data)
        known = {kind.name for kind in gateway.catalogue.types(tenant_id)}
        keep = gateway.catalogue.change_type if told.name in known else gateway.catalogue.add_type
        await keep(tenant_id, told)
    except ApplianceError as error:
        page = _page(gateway, frame, data, str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": "/device-types"})


@post("/device-types/remove", include_in_schema=False, status_code=303)
async def remove_type(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[NameForm]
) -> Response[None]:
    """Forget what is known of a type; devices keep the word."""
    await gateway.catalogue.remove_type(frame.user.tenant_id, data.name)
    return Response(None, headers={"location": "/device-types"})


def lines_of(pairs: Mapping[str, str]) -> str:
    """Words and what they stand for, a line each: `pressure = kPa`."""
    return "\n".join(f"{key} = {value}" for key, value in pairs.items())


def pairs_in(text: str) -> dict[str, str]:
    """What `lines_of` has written, or somebody by hand. Raises `InvalidInputError`."""
    pairs = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        key, sign, value = line.partition("=")
        if not sign or not key.strip() or not value.strip():
            raise InvalidInputError(f"{line[:80]!r} is not understood: expected a word, `=`, and what it stands for")
        pairs[key.strip()] = value.strip()
    return pairs


def _told(form: TypeForm) -> DeviceType:
    interval = form.interval_seconds.strip()
    if interval and not (interval.isascii() and interval.isdecimal() and len(interval) < len("100000000")):
        raise InvalidInputError(f"{interval[:40]!r} is no number of seconds")
    return DeviceType(
        name=form.name.strip(),
        description=form.description.strip().replace("\r\n", "\n"),
        units=pairs_in(form.units),
        expected_interval_ms=int(interval) * SECOND_MS if interval else None,
        metrics=metric_rules.rules_in(form.metrics),
        unknown_metrics=_violation(form.unknown_metrics),
    )


def _violation(word: str) -> Violation:
    try:
        return Violation(word)
    except ValueError:
        raise InvalidInputError(f"{word[:40]!r} is none of keep, flag and reject") from None


def _form(kind: DeviceType) -> TypeForm:
    interval_ms = kind.expected_interval_ms
    return TypeForm(
        name=kind.name,
        description=kind.description,
        units=lines_of(kind.units),
        interval_seconds="" if interval_ms is None else str(-(-interval_ms // SECOND_MS)),
        metrics=metric_rules.lines_of(kind.metrics),
        unknown_metrics=kind.unknown_metrics.value,
    )


def _page(gateway: Gateway, frame: Frame, form: TypeForm, complaint: str) -> Template:
    tenant_id = frame.user.tenant_id
    counts: dict[str, int] = {}
    for device in gateway.registry.devices(tenant_id):
        counts[device.type] = counts.get(device.type, 0) + 1
    types = gateway.catalogue.types(tenant_id)
    described = {kind.name for kind in types}
    others = sorted(name for name in counts if name and name not in described)[:100]
    context = {
        "frame": frame,
        "now": frame.now,
        "types": types,
        "counts": counts,
        "others": others,
        "command_counts": {
            name: len(gateway.commands.catalogue.commands(tenant_id, name)) for name in (*described, *others)
        },
        "form": form,
        "rules_of": {
            kind.name: {name: metric_rules.written(rule) for name, rule in kind.metrics.items()} for kind in types
        },
        "violations": VIOLATION_WORDS,
        "complaint": complaint,
    }
    return Template("pages/device_types.html", context=context)


HANDLERS = (show_types, keep_type, remove_type)
