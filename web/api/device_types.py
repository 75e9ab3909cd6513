"""`/v1/device-types` and `/v1/device-filters`: what is known of types of devices, and searches under a name."""

import msgspec
from litestar import Request, delete, get, patch, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.registry.catalogue.model import DeviceType, MetricKind, MetricRule, Violation
from web.auth import Caller


class RuleInOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the readings of a metric are to be, in the unit of the type; null is no bound."""

    kind: MetricKind = MetricKind.ANY
    least: float | None = None
    greatest: float | None = None
    violation: Violation = Violation.FLAG


class TypeOut(msgspec.Struct, frozen=True):
    """A type of devices: units by metric, and how often one is heard of; null when that is not known."""

    name: str
    description: str
    units: dict[str, str]
    expected_interval_ms: int | None
    metrics: dict[str, RuleInOut]
    unknown_metrics: Violation
    device_count: int


class TypesOut(msgspec.Struct, frozen=True):
    """All types that were described, sorted by name."""

    device_types: list[TypeOut]


class NewTypeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A type to be described. Its name is the word that devices have as their `type`."""

    name: str
    description: str = ""
    units: dict[str, str] = {}
    expected_interval_ms: int | None = None
    metrics: dict[str, RuleInOut] = {}
    unknown_metrics: Violation = Violation.KEEP


class TypeChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change of a type; what is left out stays. `units` and `metrics` are all of them."""

    description: str | msgspec.UnsetType = msgspec.UNSET
    units: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    expected_interval_ms: int | msgspec.UnsetType | None = msgspec.UNSET
    metrics: dict[str, RuleInOut] | msgspec.UnsetType = msgspec.UNSET
    unknown_metrics: Violation | msgspec.UnsetType = msgspec.UNSET


class FilterOut(msgspec.Struct, frozen=True):
    """A search under a name."""

    name: str
    query: str


class FiltersOut(msgspec.Struct, frozen=True):
    """All searches that were kept, sorted by name."""

    device_filters: list[FilterOut]


class FilterIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to search for, for example `type:pump zone:hall-2 connected:no`."""

    query: str


@get("/v1/device-types", tags=["devices"], summary="All types of devices")
async def list_types(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> TypesOut:
    """Every type that was described, and how many devices are of it."""
    tenant_id = request.user.tenant_id
    return TypesOut([_out(gateway, tenant_id, kind) for kind in gateway.catalogue.types(tenant_id)])


@post("/v1/device-types", tags=["devices"], summary="Describe a type of devices")
async def add_type(
    data: JSONBody[NewTypeIn], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> TypeOut:
    """Say what is known of all devices of a type."""
    told = DeviceType(
        data.name,
        data.description,
        data.units,
        data.expected_interval_ms,
        _rules(data.metrics),
        data.unknown_metrics,
    )
    tenant_id = request.user.tenant_id
    return _out(gateway, tenant_id, await gateway.catalogue.add_type(tenant_id, told))


@get("/v1/device-types/{name:str}", tags=["devices"], summary="One type of devices")
async def get_type(
    name: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> TypeOut:
    """What is known of a type."""
    tenant_id = request.user.tenant_id
    return _out(gateway, tenant_id, gateway.catalogue.type(tenant_id, name))


@patch("/v1/device-types/{name:str}", tags=["devices"], summary="Describe a type otherwise")
async def change_type(
    name: FromPath[str],
    data: JSONBody[TypeChangeIn],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
) -> TypeOut:
    """Change what is named; the rest stays."""
    tenant_id = request.user.tenant_id
    before = gateway.catalogue.type(tenant_id, name)
    told = {field: value for field, value in msgspec.structs.asdict(data).items() if value is not msgspec.UNSET}
    if data.metrics is not msgspec.UNSET:
        told["metrics"] = _rules(data.metrics)
    return _out(
        gateway, tenant_id, await gateway.catalogue.change_type(tenant_id, msgspec.structs.replace(before, **told))
    )


@delete("/v1/device-types/{name:str}", tags=["devices"], summary="Forget what is known of a type")
async def remove_type(
    name: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> None:
    """Forget the description; devices keep the word."""
    await gateway.catalogue.remove_type(request.user.tenant_id, name)


@get("/v1/device-filters", tags=["devices"], summary="All saved searches")
async def list_filters(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> FiltersOut:
    """Every search that was kept under a name."""
    kept = gateway.catalogue.filters(request.user.tenant_id)
    return FiltersOut([FilterOut(one.name, one.query) for one in kept])


@put("/v1/device-filters/{name:str}", tags=["devices"], summary="Save a search")
async def save_filter(
    name: FromPath[str],
    data: JSONBody[FilterIn],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
) -> FilterOut:
    """Keep a search under a name, in the place of what was there."""
    kept = await gateway.catalogue.save_filter(request.user.tenant_id, name, data.query)
    return FilterOut(kept.name, kept.query)


@delete("/v1/device-filters/{name:str}", tags=["devices"], summary="Forget a saved search")
async def remove_filter(
    name: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> None:
    """Forget a search."""
    await gateway.catalogue.remove_filter(request.user.tenant_id, name)


def _out(gateway: Gateway, tenant_id: int, kind: DeviceType) -> TypeOut:
    count = sum(device.type == kind.name for device in gateway.registry.devices(tenant_id))
    return TypeOut(
        name=kind.name,
        description=kind.description,
        units=dict(kind.units),
        expected_interval_ms=kind.expected_interval_ms,
        metrics={
            metric: RuleInOut(rule.kind, rule.least, rule.greatest, rule.violation)
            for metric, rule in kind.metrics.items()
        },
        unknown_metrics=kind.unknown_metrics,
        device_count=count,
    )


def _rules(told: dict[str, RuleInOut]) -> dict[str, MetricRule]:
    return {metric: MetricRule(rule.kind, rule.least, rule.greatest, rule.violation) for metric, rule in told.items()}


HANDLERS = (list_types, add_type, get_type, change_type, remove_type, list_filters, save_filter, remove_filter)
