"""`/retainedMessage`: what is retained, as far as a device might have it by subscribing."""

import asyncio
import base64
import heapq
from http import HTTPStatus

import msgspec
from litestar import get
from litestar.di import NamedDependency

from appliance.gateway import Gateway
from broker.message import Message
from broker.ports import Principal
from web.device_http.answers import Answer, AnyRequest, RefusedError, told
from web.device_http.caller import caller, judged, number, require_hearing, rest_of_path

PATH = "/retainedMessage/"
MOST_RESULTS = 200

LOOKED_AT = 1_000
"""Topics that are judged for one page; more are for the next one."""
_SLICE = 500
"""Messages that are looked over in one turn of the loop."""
_JUDGED = 20
"""Those that are judged in one."""
LOOKING = "looking_over_retained"
"""Under this key the application keeps the lock of whoever looks over everything that is retained."""


@get("/retainedMessage/{topic:path}")
async def get_message(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """The message that is retained at a topic."""
    principal = await caller(request, gateway)
    topic = rest_of_path(request, PATH)
    if not topic or "+" in topic or "#" in topic:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{topic[:256]!r} is no topic name")
    await require_hearing(gateway, principal, topic)
    found = next(iter(gateway.broker.retained(principal.tenant_id, topic)), None)
    if found is None or not await _may_be_repeated(gateway, found):
        raise RefusedError(HTTPStatus.NOT_FOUND, f"nothing is retained at {topic[:256]!r}")
    return told(
        {
            "topic": found.topic,
            "payload": base64.b64encode(found.payload).decode(),
            "qos": min(found.qos, 1),
            "lastModifiedTime": found.arrived_at,
            "userProperties": _pairs(found),
        }
    )


@get("/retainedMessage")
async def list_messages(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """Which topics have a retained message, in their order, a page at a time."""
    principal = await caller(request, gateway)
    limit = number(request, "maxResults", 1, MOST_RESULTS, MOST_RESULTS)
    after = read_token(request.query_params.get("nextToken"))
    found = []
    reached = ""
    # One device at a time looks over all there is: that takes long, and the loop has others to serve.
    async with request.app.state[LOOKING]:
        candidates = await _following(gateway, principal, after)
        for count, message in enumerate(candidates[:LOOKED_AT], 1):
            reached = message.topic
            if await _may_have(gateway, principal, message):
                found.append(message)
            if len(found) == limit:
                break
            if count % _JUDGED == 0:
                await asyncio.sleep(0)
    is_last = not candidates or reached == candidates[-1].topic
    summaries = [
        {
            "topic": message.topic,
            "payloadSize": len(message.payload),
            "qos": min(message.qos, 1),
            "lastModifiedTime": message.arrived_at,
        }
        for message in found
    ]
    return told({"retainedTopics": summaries, "nextToken": None if is_last else made_token(reached)})


def made_token(last: str) -> str:
    """What a page ends with, for whoever asks for the next one."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def read_token(token: str | None) -> str:
    """Where the page before ended; empty for the first. Raises `RefusedError`."""
    try:
        return base64.b64decode((token or "").encode("ascii"), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "nextToken is none that was given here") from error


async def _following(gateway: Gateway, principal: Principal, after: str) -> list[Message]:
    """Of all that is retained, in the order of the topics, what comes next; one more than is looked at."""
    later: list[Message] = []
    last: str | None = None
    for count, message in enumerate(gateway.broker.retained(principal.tenant_id, "#"), 1):
        if message.topic > after and (last is None or message.topic < last):
            later.append(message)
        if len(later) > 2 * LOOKED_AT + _SLICE:
            later = _first(later)
            last = later[-1].topic
        if count % _SLICE == 0:
            await asyncio.sleep(0)
    return _first(later)


def _first(messages: list[Message]) -> list[Message]:
    return heapq.nsmallest(LOOKED_AT + 1, messages, key=lambda message: message.topic)


async def _may_have(gateway: Gateway, principal: Principal, message: Message) -> bool:
    denied = await judged(gateway.broker.proxy.may_hear, principal, message.topic)
    return denied is None and await _may_be_repeated(gateway, message)


async def _may_be_repeated(gateway: Gateway, message: Message) -> bool:
    """Whether its publisher may still say it."""
    if not message.client_id or not gateway.broker.exchange.retained_source_is_checked:
        return True
    publisher = Principal(message.tenant_id, message.principal, message.is_operators)
    return await judged(gateway.broker.proxy.may_publish, publisher, message.topic) is None


def _pairs(message: Message) -> str | None:
    pairs = [{name: value} for name, value in message.properties.user_properties]
    return base64.b64encode(msgspec.json.encode(pairs)).decode() if pairs else None


HANDLERS = (get_message, list_messages)
