"""`/v1/prometheus`: readings as Prometheus gives them, for Grafana and whatever else asks Prometheus.

The form of every answer is that of the HTTP API of Prometheus; what of PromQL is answered is in
docs/reference/grafana.md.
"""

from collections.abc import Awaitable, Mapping, Sequence
from math import inf, isfinite, isnan
from typing import Any
from urllib.parse import parse_qs

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from appliance.accounts.model import User
from appliance.errors import ApplianceError, InvalidInputError, TooManyAttemptsError
from appliance.gateway import Gateway
from appliance.instant import SECOND_MS, from_text
from appliance.telemetry.asking.model import TooMuchError
from appliance.telemetry.promql.labels import LABELS, name_of
from appliance.telemetry.promql.lexer import length_ms
from appliance.telemetry.promql.model import Labels, QueryError, Result, Scalar, Series, Steps
from appliance.telemetry.promql.parser import selector_of
from web.auth import Caller
from web.leaving import while_wanted
from web.shell import moment

AnyRequest = Request[User, Caller, State]
Answer = Response[dict[str, Any]]
Told = Mapping[str, list[str]]

SPEAKS_LIKE = "2.42.0"
"""The version of Prometheus whose HTTP API this is; clients look at it to know what they may ask."""
_SHOWN = "the Prometheus HTTP API"
_TIMES_END = 10_000_000_000.0


@get("/v1/prometheus/api/v1/query", tags=["prometheus"], summary=f"{_SHOWN}: a query at one moment")
async def query(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """PromQL in `query`, at `time` (seconds since 1970 or RFC 3339) or now."""
    return await _answered(_at_once(request, gateway, _from_address(request)))


@post("/v1/prometheus/api/v1/query", summary=f"{_SHOWN}: the same by a form", status_code=200, tags=["prometheus"])
async def query_by_form(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """The same, its parameters in a form."""
    return await _answered(_at_once(request, gateway, await _from_form(request)))


@get("/v1/prometheus/api/v1/query_range", tags=["prometheus"], summary=f"{_SHOWN}: a query at each step of a range")
async def query_range(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """PromQL in `query`, from `start` to `end`, every `step` (seconds, or a length such as 15s)."""
    return await _answered(_in_steps(request, gateway, _from_address(request)))


@post(
    "/v1/prometheus/api/v1/query_range", summary=f"{_SHOWN}: the same by a form", status_code=200, tags=["prometheus"]
)
async def query_range_by_form(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """The same, its parameters in a form."""
    return await _answered(_in_steps(request, gateway, await _from_form(request)))


@get("/v1/prometheus/api/v1/series", tags=["prometheus"], summary=f"{_SHOWN}: the series that selectors choose")
async def series(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """Selectors in `match[]`. The time is not looked at: what was ever reported is there."""
    return await _answered(_series(request, gateway, _from_address(request)))


@post("/v1/prometheus/api/v1/series", summary=f"{_SHOWN}: the same by a form", status_code=200, tags=["prometheus"])
async def series_by_form(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """The same, its parameters in a form."""
    return await _answered(_series(request, gateway, await _from_form(request)))


@get("/v1/prometheus/api/v1/labels", tags=["prometheus"], summary=f"{_SHOWN}: the names of labels")
async def labels(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """Of all series, or of those that `match[]` chooses."""
    return await _answered(_labels(request, gateway, _from_address(request)))


@post("/v1/prometheus/api/v1/labels", summary=f"{_SHOWN}: the same by a form", status_code=200, tags=["prometheus"])
async def labels_by_form(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """The same, its parameters in a form."""
    return await _answered(_labels(request, gateway, await _from_form(request)))


@get(
    "/v1/prometheus/api/v1/label/{name:str}/values",
    tags=["prometheus"],
    summary=f"{_SHOWN}: the values that a label has",
)
async def label_values(name: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """In all series, or in those that `match[]` chooses."""
    return await _answered(_values(request, gateway, _from_address(request), name))


@get("/v1/prometheus/api/v1/metadata", tags=["prometheus"], summary=f"{_SHOWN}: what is known of metrics")
async def metadata(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """Every metric is a gauge; its unit stands with the type of a device, where one is told."""
    names = {name_of(labels["metric"]) for labels in await _chosen(request, gateway, {})}
    return _success({name: [{"type": "gauge", "help": "", "unit": ""}] for name in sorted(names)})


@get("/v1/prometheus/api/v1/status/buildinfo", tags=["prometheus"], summary=f"{_SHOWN}: what answers here")
async def build(gateway: NamedDependency[Gateway]) -> Answer:
    """The version is that of the API, not of this program, which stands in `revision`."""
    return _success(
        {
            "version": SPEAKS_LIKE,
            "revision": f"headworks {gateway.version}",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        }
    )


async def _at_once(request: AnyRequest, gateway: Gateway, told: Told) -> dict[str, Any]:
    at = _time("time", _one(told, "time")) if "time" in told else moment()
    steps = Steps(at, 1, 0)
    result = await _result(request, gateway, _one(told, "query"), steps)
    if isinstance(result, Scalar):
        return {"resultType": "scalar", "result": _sample(at, result.value)}
    found = [
        {"metric": each.labels, "value": _sample(at, value)}
        for each in result
        for value in each.values
        if value is not None
    ]
    return {"resultType": "vector", "result": found}


async def _in_steps(request: AnyRequest, gateway: Gateway, told: Told) -> dict[str, Any]:
    start, end = (_time(name, _one(told, name)) for name in ("start", "end"))
    step_ms = _step(_one(told, "step"))
    if end < start:
        raise QueryError('invalid parameter "end": end timestamp must not be before start time')
    steps = Steps(start, (end - start) // step_ms + 1, step_ms)
    result = await _result(request, gateway, _one(told, "query"), steps)
    if isinstance(result, Scalar):
        result = [Series({}, [result.value] * steps.count)]
    moments = steps.moments()
    return {"resultType": "matrix", "result": [_matrix_row(each, moments) for each in result]}


async def _result(request: AnyRequest, gateway: Gateway, text: str, steps: Steps) -> Result:
    tenant_id = request.user.tenant_id
    devices = gateway.registry.devices(tenant_id)
    return await while_wanted(request, gateway.prometheus.query(tenant_id, devices, text, steps))


async def _series(request: AnyRequest, gateway: Gateway, told: Told) -> Sequence[Labels]:
    if not told.get("match[]"):
        raise QueryError("no match[] parameter provided")
    return await _chosen(request, gateway, told)


async def _labels(request: AnyRequest, gateway: Gateway, told: Told) -> Sequence[str]:
    found = {label for labels in await _chosen(request, gateway, told) for label in labels}
    return [label for label in LABELS if label in found]


async def _values(request: AnyRequest, gateway: Gateway, told: Told, name: str) -> Sequence[str]:
    return sorted({labels[name] for labels in await _chosen(request, gateway, told) if name in labels})


async def _chosen(request: AnyRequest, gateway: Gateway, told: Told) -> Sequence[Labels]:
    tenant_id = request.user.tenant_id
    selectors = [selector_of(text) for text in told.get("match[]", [])]
    return await gateway.prometheus.series(tenant_id, gateway.registry.devices(tenant_id), selectors)


async def _answered(work: Awaitable[Any]) -> Answer:
    """The answer, or why there is none, both as Prometheus says them."""
    try:
        return _success(await work)
    except TooMuchError as error:
        return _failure(422, "execution", error)
    except TooManyAttemptsError as error:
        return _failure(503, "unavailable", error)
    except InvalidInputError as error:
        return _failure(400, "bad_data", error)


def _success(found: Any) -> Answer:
    return Response({"status": "success", "data": found}, media_type="application/json")


def _failure(status: int, kind: str, error: ApplianceError) -> Answer:
    told = {"status": "error", "errorType": kind, "error": str(error)}
    return Response(told, status_code=status, media_type="application/json")


def _from_address(request: AnyRequest) -> Told:
    return request.query_params.dict()


async def _from_form(request: AnyRequest) -> Told:
    """What a form says, and what the address says besides."""
    found = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1_000)
    return {**request.query_params.dict(), **found}


def _one(told: Told, name: str) -> str:
    values = told.get(name, [])
    if not values or not values[0]:
        raise QueryError(f'invalid parameter "{name}": it is missing')
    return values[0]


def _time(name: str, text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        try:
            # In an address + stands for a blank: an offset such as +01:00 arrives with one.
            return from_text(text.replace(" ", "+"))
        except ValueError:
            raise QueryError(f'invalid parameter "{name}": cannot parse {text[:40]!r} to a valid timestamp') from None
    if not isfinite(seconds) or abs(seconds) > _TIMES_END * 100:
        raise QueryError(f'invalid parameter "{name}": {text[:40]} is no moment')
    return round(seconds * SECOND_MS)


def _step(text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        return length_ms(text)
    if not 1 / SECOND_MS <= seconds <= _TIMES_END:
        raise QueryError('invalid parameter "step": zero or negative query resolution step widths are not accepted')
    return round(seconds * SECOND_MS)


def _matrix_row(each: Series, moments: Sequence[int]) -> dict[str, Any]:
    values = [_sample(at, value) for at, value in zip(moments, each.values, strict=True) if value is not None]
    return {"metric": each.labels, "values": values}


def _sample(at: int, value: float) -> list[float | str]:
    return [at / SECOND_MS, written(value)]


def written(value: float) -> str:
    """A number as Prometheus writes it."""
    if isnan(value):
        return "NaN"
    if value in {inf, -inf}:
        return "+Inf" if value > 0 else "-Inf"
    return repr(value).removesuffix(".0")


HANDLERS = (
    query,
    query_by_form,
    query_range,
    query_range_by_form,
    series,
    series_by_form,
    labels,
    labels_by_form,
    label_values,
    metadata,
    build,
)
