"""`/v1/stream`: the event log as it grows, what it held once more, and who reads it."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import PermissionDeniedException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from appliance.accounts.model import Role, User
from appliance.errors import InvalidInputError, NotSignedInError
from appliance.gateway import Gateway
from appliance.instant import SECOND_MS, to_text
from appliance.stream import position as positions
from appliance.stream.model import ConsumerInUseError, ConsumerView, Position, Start
from appliance.stream.replay import ordering
from appliance.stream.replay.messages.model import START
from appliance.stream.replay.messages.model import parsed as parsed_mark
from appliance.stream.wanted import Wanted, wanted
from web.api.telemetry import parsed
from web.auth import Caller, bearer_token
from web.events import MEDIA_TYPE
from web.following import END, Again, Check, Followers, Live
from web.roles import is_enough
from web.shell import moment

AnyRequest = Request[User, Caller, State]
Repeated = Annotated[list[str] | None, QueryParameter()]

REPORTS, MESSAGES = "reports", "messages"
"""What a replay gives: what was understood, or messages."""
AS_FAST_AS_POSSIBLE = "max"
FASTEST = 100.0
FINAL_DELAY_MS = SECOND_MS


class ConsumerIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A consumer to be. `start`: `now`, or `oldest` for everything that the log still holds."""

    name: str
    start: Start = Start.NOW


class PositionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a consumer goes on: the `id` of the last event that it has dealt with."""

    position: str


class ConsumerGapOut(msgspec.Struct, frozen=True):
    """What a consumer has lost, and is told of before anything else."""

    through: str
    report_count: int | None
    until_at: str


class ConsumerOut(msgspec.Struct, frozen=True):
    """Who reads the log under a name, how far it has come, and how far behind that is."""

    name: str
    position: str
    created_at: str
    committed_at: str
    is_reading: bool
    lag_reports: int
    lag_bytes: int
    lag_s: float
    gap: ConsumerGapOut | None


class ConsumersOut(msgspec.Struct, frozen=True):
    """Every consumer, by name; and how much of the log is kept for those who lag."""

    consumers: list[ConsumerOut]
    hold_bytes: int


@get("/v1/stream", tags=["stream"], summary="What devices report, as it comes or once more", media_type=MEDIA_TYPE)
async def follow(
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    followers: NamedDependency[Followers],
    device: Repeated = None,
    topic: Repeated = None,
    consumer: FromQuery[str] = "",
    start: Annotated[str, QueryParameter(name="from")] = "",
    until: FromQuery[str] = "",
    speed: FromQuery[str] = "1",
    form: FromQuery[str] = REPORTS,
) -> Response[Any]:
    """Server-sent events. `Last-Event-ID` goes on after an event; `device` and `topic` choose.

    With `from`, and if wanted `until` and `speed` (1 to 100, or `max`), what arrived in between is given once more:
    as `reports`, or in the `form` `messages`, byte for byte where the raw journal has the whole interval.
    """
    followers.require_room(request.user.tenant_id, request.user.email)
    chosen = wanted(device or [], topic or [])
    last = request.headers.get("last-event-id", "").strip()
    check = _check(request, gateway, Role.OPERATOR if consumer or form == MESSAGES else Role.VIEWER)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if start or until or form != REPORTS:
        if consumer:
            raise InvalidInputError("a consumer reads what comes: leave `consumer` out to read an interval once more")
        if last == END:
            # A browser comes back by itself and would begin anew: this tells it not to.
            return Response(None, status_code=204)
        again = _again(gateway, request.user, (start, until, speed, form), chosen, last)
        return Stream(followers.again(again, check), media_type=MEDIA_TYPE, headers=headers)
    place = await _place(request, gateway, consumer, last)
    live = Live(request.user.tenant_id, place, chosen, consumer, request.user.email)
    return Stream(followers.live(live, check), media_type=MEDIA_TYPE, headers=headers)


@get("/v1/stream/consumers", tags=["stream"], summary="Who reads the log under a name")
async def list_consumers(request: AnyRequest, gateway: NamedDependency[Gateway]) -> ConsumersOut:
    """Every consumer of the tenant, and how far it lags behind."""
    views = await gateway.stream.views(request.user.tenant_id)
    return ConsumersOut([_out(view) for view in views], gateway.stream.hold_bytes)


@post("/v1/stream/consumers", tags=["stream"], summary="Add a consumer")
async def add_consumer(
    data: JSONBody[ConsumerIn], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> ConsumerOut:
    """From here on the log is kept until the consumer has taken it, as far as there is room."""
    await gateway.stream.add(request.user.tenant_id, data.name, data.start)
    return _out(await gateway.stream.view(request.user.tenant_id, data.name))


@put("/v1/stream/consumers/{name:str}", tags=["stream"], summary="Say how far a consumer has come")
async def move_consumer(
    name: FromPath[str], data: JSONBody[PositionIn], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> ConsumerOut:
    """Everything up to and with an event was dealt with; or, with an earlier one, is to be given again."""
    await gateway.stream.move(request.user.tenant_id, name, positions.parsed(data.position))
    return _out(await gateway.stream.view(request.user.tenant_id, name))


@delete("/v1/stream/consumers/{name:str}", tags=["stream"], summary="Delete a consumer")
async def remove_consumer(name: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> None:
    """The log is not kept for it any more, and its place is forgotten."""
    await gateway.stream.remove(request.user.tenant_id, name)


async def _place(request: AnyRequest, gateway: Gateway, consumer: str, last: str) -> Position:
    """Where somebody goes on who reads what comes."""
    stream, tenant_id = gateway.stream, request.user.tenant_id
    if not consumer:
        if not last:
            return await stream.end()
        place = positions.parsed(last)
        await stream.require_told(place)
        return place
    if not is_enough(request.user.role, Role.OPERATOR):
        raise PermissionDeniedException("To read as a consumer needs the role operator: it moves the consumer on.")
    known = await stream.known(tenant_id, consumer)
    if stream.is_taken(tenant_id, consumer):
        raise ConsumerInUseError(f"the gateway itself reads as the consumer {consumer}")
    if last:
        # Whoever comes back with an event has dealt with everything up to it.
        known = await stream.move(tenant_id, consumer, positions.parsed(last))
    return known.position


def _again(gateway: Gateway, user: User, asked: tuple[str, str, str, str], chosen: Wanted, last: str) -> Again:
    start, until, speed, form = asked
    if form not in (REPORTS, MESSAGES):
        raise InvalidInputError(f"form is {form[:32]!r}, expected {REPORTS!r} or {MESSAGES!r}")
    if not start:
        raise InvalidInputError("say `from` which moment on, besides `until` and `form`")
    end = parsed("until", until) if until else moment() + FINAL_DELAY_MS
    interval = gateway.replay.interval(user.tenant_id, parsed("from", start), end, chosen)
    if form == MESSAGES:
        if not is_enough(user.role, Role.OPERATOR):
            raise PermissionDeniedException(
                "To read messages needs the role operator: there is more in them than readings."
            )
        return Again(interval, speed_of(speed), parsed_mark(last) if last else START, user.email)
    if last:
        interval = msgspec.structs.replace(interval, after=ordering.parsed(last))
    return Again(interval, speed_of(speed), None, user.email)


def speed_of(text: str) -> float:
    """How many times faster than it came; 0 for as fast as possible. Raises `InvalidInputError`."""
    if text == AS_FAST_AS_POSSIBLE:
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1 <= speed <= FASTEST:
        raise InvalidInputError(f"speed is {text[:32]!r}, expected 1 to 100, or {AS_FAST_AS_POSSIBLE!r}")
    return speed


def _check(request: AnyRequest, gateway: Gateway, least: Role) -> Check:
    """Sees whether whoever opened a stream may still read."""
    token, secret, user = bearer_token(request), request.auth.session_secret, request.user

    async def check() -> None:
        if secret:
            await gateway.accounts.session_rest_ms(secret)
            return
        known = await gateway.accounts.user_of_token(token or "")
        if known.tenant_id != user.tenant_id or not is_enough(known.role, least):
            raise NotSignedInError("the token may not do this any more")

    return check


def _out(view: ConsumerView) -> ConsumerOut:
    consumer, lag = view.consumer, view.lag
    gap = consumer.gap
    return ConsumerOut(
        name=consumer.name,
        position=positions.printed(consumer.position),
        created_at=to_text(consumer.created_at),
        committed_at=to_text(consumer.committed_at),
        is_reading=view.is_reading,
        lag_reports=lag.report_count,
        lag_bytes=lag.size_bytes,
        lag_s=0.0 if lag.oldest_at is None else max(0, moment() - lag.oldest_at) / SECOND_MS,
        gap=None if gap is None else ConsumerGapOut(str(gap.through_log_id), gap.report_count, to_text(gap.until_at)),
    )


HANDLERS = (follow, list_consumers, add_consumer, move_consumer, remove_consumer)
