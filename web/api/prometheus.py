"""`/v1/prometheus`: readings as Prometheus gives them, for Grafana and whatever else asks Prometheus.

The form of every answer is that of the HTTP API of Prometheus; what of PromQL is answered is in
docs/reference/grafana.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from math import inf, isfinite, isnan
from typing import Any
from urllib.parse import parse_qs

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Raw, json

from appliance.accounts.model import User
from appliance.errors import ApplianceError, InvalidInputError, TooManyAttemptsError
from appliance.gateway import Gateway
from appliance.ingestion.declared import NO_UNITS
from appliance.instant import SECOND_MS, from_text
from appliance.portions import portions_of
from appliance.telemetry.asking.model import TooMuchError
from appliance.telemetry.coarse.model import Lacking
from appliance.telemetry.coarse.telling import sentences
from appliance.telemetry.promql.labels import LABELS
from appliance.telemetry.promql.lexer import LENGTH_LIMIT, length_ms
from appliance.telemetry.promql.model import Labels, QueryError, Result, Scalar, Series, Steps
from appliance.telemetry.promql.parser import NAME
from appliance.telemetry.wanted import Check
from web.auth import Caller
from web.leaving import while_wanted
from web.shell import moment

AnyRequest = Request[User, Caller, State]
Answer = Response[bytes]
Told = Mapping[str, list[str]]

SPEAKS_LIKE = "2.42.0"
"""The version of Prometheus whose HTTP API this is; clients look at it to know what they may ask."""
SERIES_LIMIT = 100_000
"""The most series of one answer."""
FIELDS_LIMIT = 1_000
GAUGES_LIMIT = 8
"""Of more units that devices have for one metric, the first by name are told."""
DEVICES_AT_ONCE = 500
"""Of how many devices the units are looked up before others get their turn."""
_SHOWN = "the Prometheus HTTP API"
_TIMES_END = 10_000_000_000.0


@get("/v1/prometheus/api/v1/query", tags=["prometheus"], summary=f"{_SHOWN}: a query at one moment")
async def query(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """PromQL in `query`, at `time` (seconds since 1970 or RFC 3339) or now."""
    return await _answered(_at_once(request, gateway, _from_address(request)))


@post("/v1/prometheus/api/v1/query", summary=f"{_SHOWN}: the same by a form", status_code=200, tags=["prometheus"])
async def query_by_form(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """The same, its parameters in a form."""
    return await _answered(_from_form(request, gateway, _at_once))


@get("/v1/prometheus/api/v1/query_range", tags=["prometheus"], summary=f"{_SHOWN}: a query at each step of a range")
async def query_range(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """PromQL in `query`, from `start` to `end`, every `step` (seconds, or a length such as 15s)."""
    return await _answered(_in_steps(request, gateway, _from_address(request)))


@post(
    "/v1/prometheus/api/v1/query_range", summary=f"{_SHOWN}: the same by a form", status_code=200, tags=["prometheus"]
)
async def query_range_by_form(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """The same, its parameters in a form."""
    return await _answered(_from_form(request, gateway, _in_steps))


@get("/v1/prometheus/api/v1/series", tags=["prometheus"], summary=f"{_SHOWN}: the series that selectors choose")
async def series(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """Selectors in `match[]`. The time is not looked at: what was ever reported is there."""
    return await _answered(_series(request, gateway, _from_address(request)))


@post("/v1/prometheus/api/v1/series", summary=f"{_SHOWN}: the same by a form", status_code=200, tags=["prometheus"])
async def series_by_form(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """The same, its parameters in a form."""
    return await _answered(_from_form(request, gateway, _series))


@get("/v1/prometheus/api/v1/labels", tags=["prometheus"], summary=f"{_SHOWN}: the names of labels")
async def labels(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """Of all series, or of those that `match[]` chooses."""
    return await _answered(_labels(request, gateway, _from_address(request)))


@post("/v1/prometheus/api/v1/labels", summary=f"{_SHOWN}: the same by a form", status_code=200, tags=["prometheus"])
async def labels_by_form(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """The same, its parameters in a form."""
    return await _answered(_from_form(request, gateway, _labels))


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
    """Every metric is a gauge, with its unit where one is known, and with each of them where devices differ."""
    return await _answered(_metadata(request, gateway, _from_address(request)))


@get("/v1/prometheus/api/v1/rules", tags=["prometheus"], summary=f"{_SHOWN}: its rules, of which there are none")
async def rules() -> Answer:
    """Alerts are judged by the rules of `/v1/alert-rules`, which are none of Prometheus."""
    return _answer(200, _success({"groups": []}))


@get("/v1/prometheus/api/v1/status/buildinfo", tags=["prometheus"], summary=f"{_SHOWN}: what answers here")
async def build(gateway: NamedDependency[Gateway]) -> Answer:
    """The version is that of the API, not of this program, which stands in `revision`."""
    told = {
        "version": SPEAKS_LIKE,
        "revision": f"headworks {gateway.version}",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }
    return _answer(200, _success(told))


async def _at_once(request: AnyRequest, gateway: Gateway, told: Told) -> bytes:
    at = _time("time", _one(told, "time")) if "time" in told else moment()
    return await _asked(request, gateway, _one(told, "query"), Steps(at, 1, 0), partial(_vector, at))


async def _in_steps(request: AnyRequest, gateway: Gateway, told: Told) -> bytes:
    start, end = (_time(name, _one(told, name)) for name in ("start", "end"))
    step_ms = _step(_one(told, "step"))
    if end < start:
        raise QueryError('invalid parameter "end": end timestamp must not be before start time')
    steps = Steps(start, (end - start) // step_ms + 1, step_ms)
    return await _asked(request, gateway, _one(told, "query"), steps, partial(_matrix, steps))


async def _asked(
    request: AnyRequest, gateway: Gateway, text: str, steps: Steps, as_text: Callable[[Check, Result, Lacking], bytes]
) -> bytes:
    tenant_id = request.user.tenant_id
    devices = gateway.registry.devices(tenant_id)
    return await while_wanted(request, gateway.prometheus.query(tenant_id, devices, text, steps, as_text))


def _vector(at: int, check: Check, result: Result, lacking: Lacking) -> bytes:
    """What a query comes to at one moment."""
    if isinstance(result, Scalar):
        return _success({"resultType": "scalar", "result": _sample(at, result.value)}, sentences(lacking))
    found = []
    for each in result:
        check()
        [value] = each.values
        if value is not None:
            found.append(Raw(json.encode({"metric": each.labels, "value": _sample(at, value)})))
    return _success({"resultType": "vector", "result": found}, sentences(lacking))


def _matrix(steps: Steps, check: Check, result: Result, lacking: Lacking) -> bytes:
    """What a query comes to at each step. Each series is written by itself: all at once would keep the loop waiting."""
    moments = steps.moments()
    rows = []
    for each in [Series({}, [result.value] * steps.count)] if isinstance(result, Scalar) else result:
        check()
        values = [_sample(at, value) for at, value in zip(moments, each.values, strict=True) if value is not None]
        rows.append(Raw(json.encode({"metric": each.labels, "values": values})))
    return _success({"resultType": "matrix", "result": rows}, sentences(lacking))


async def _series(request: AnyRequest, gateway: Gateway, told: Told) -> bytes:
    if not told.get("match[]"):
        raise QueryError("no match[] parameter provided")
    limit = _limit(told)

    def as_text(found: Iterator[Labels]) -> bytes:
        rows = [Raw(json.encode(labels)) for labels in islice(found, min(limit or SERIES_LIMIT, SERIES_LIMIT) + 1)]
        if len(rows) > SERIES_LIMIT and not 0 < limit <= SERIES_LIMIT:
            raise TooMuchError(f"match[] chooses more than {SERIES_LIMIT:,} series: choose fewer, or set a limit")
        return _limited(rows, limit)

    return await _looked_up(request, gateway, told, as_text)


async def _labels(request: AnyRequest, gateway: Gateway, told: Told) -> bytes:
    limit = _limit(told)

    def as_text(found: Iterator[Labels]) -> bytes:
        names = {label for labels in found for label in labels}
        return _limited([label for label in LABELS if label in names], limit)

    return await _looked_up(request, gateway, told, as_text)


async def _values(request: AnyRequest, gateway: Gateway, told: Told, name: str) -> bytes:
    limit = _limit(told)

    def as_text(found: Iterator[Labels]) -> bytes:
        return _limited(sorted({labels[name] for labels in found if name in labels}), limit)

    return await _looked_up(request, gateway, told, as_text)


async def _metadata(request: AnyRequest, gateway: Gateway, told: Told) -> bytes:
    limit, [wanted] = _limit(told), told.get("metric", [""])[:1]
    units = await _units(gateway, request.user.tenant_id)

    def as_text(found: Iterator[Labels]) -> bytes:
        known: dict[str, set[str]] = {}
        for labels in found:
            name = labels[NAME]
            if name == wanted or not wanted:
                of_device = units.get(labels["device_id"], NO_UNITS)
                known.setdefault(name, set()).add(of_device.get(labels["metric"], ""))
        return _success({name: _gauges(known[name]) for name in sorted(known)[: limit or None]})

    return await _looked_up(request, gateway, {}, as_text)


async def _units(gateway: Gateway, tenant_id: int) -> dict[str, Mapping[str, str]]:
    """The known units of each device, by metric: threads may not look at what the loop changes."""
    found = {}
    for some in portions_of(gateway.registry.devices(tenant_id), DEVICES_AT_ONCE):
        for device in some:
            found[device.device_id] = gateway.units.of(tenant_id, device.device_id)
        await asyncio.sleep(0)
    return found


def _gauges(units: set[str]) -> list[dict[str, str]]:
    """What is told of a metric: once for each unit; of a unit that only some know, nothing is told of the others."""
    known = sorted(units - {""})[:GAUGES_LIMIT] or [""]
    return [{"type": "gauge", "help": "", "unit": unit} for unit in known]


async def _looked_up(
    request: AnyRequest, gateway: Gateway, told: Told, as_text: Callable[[Iterator[Labels]], bytes]
) -> bytes:
    tenant_id = request.user.tenant_id
    devices, selectors = gateway.registry.devices(tenant_id), told.get("match[]", [])
    if sum(map(len, selectors)) > LENGTH_LIMIT:
        raise QueryError(f"match[] has more than {LENGTH_LIMIT:,} characters in all: choose by fewer or shorter ones")
    return await while_wanted(request, gateway.prometheus.look_up(tenant_id, devices, selectors, as_text))


async def _answered(work: Awaitable[bytes]) -> Answer:
    """The answer, or why there is none, both as Prometheus says them."""
    try:
        return _answer(200, await work)
    except TooMuchError as error:
        return _failure(422, "execution", error)
    except TooManyAttemptsError as error:
        return _failure(503, "unavailable", error)
    except InvalidInputError as error:
        return _failure(400, "bad_data", error)


def _success(found: Any, warnings: Sequence[str] = ()) -> bytes:
    """An answer, with what Grafana shows beside it when there is anything."""
    told = {"warnings": warnings} if warnings else {}
    return json.encode({"status": "success", "data": found, **told})


def _limited(found: Sequence[Any], limit: int) -> bytes:
    """What is asked for, and a warning where that is not all."""
    if not 0 < limit < len(found):
        return _success(found)
    return _success(found[:limit], ["results truncated due to limit"])


def _failure(status: int, kind: str, error: ApplianceError) -> Answer:
    return _answer(status, json.encode({"status": "error", "errorType": kind, "error": str(error)}))


def _answer(status: int, told: bytes) -> Answer:
    return Response(told, status_code=status, media_type="application/json")


def _from_address(request: AnyRequest) -> Told:
    return request.query_params.dict()


async def _from_form(
    request: AnyRequest, gateway: Gateway, answer: Callable[[AnyRequest, Gateway, Told], Awaitable[bytes]]
) -> bytes:
    """The answer to what a form says, and the address besides. Raises `QueryError`."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        told = parse_qs(body, keep_blank_values=True, max_num_fields=FIELDS_LIMIT)
    except ValueError:
        raise QueryError(f"a form has {FIELDS_LIMIT:,} fields at most") from None
    return await answer(request, gateway, {**request.query_params.dict(), **told})


def _limit(told: Told) -> int:
    """How much is wanted at most; 0 for all."""
    text = told.get("limit", ["0"])[0]
    if not text.isascii() or not text.isdigit() or len(text) > 9:  # noqa: PLR2004  more than there can be of anything
        raise QueryError(f'invalid parameter "limit": {text[:40]!r} is no number of results')
    return int(text)


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
    rules,
    build,
)
