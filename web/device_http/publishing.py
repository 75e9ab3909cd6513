"""`POST /topics/…`: a message of a device, on the way that its messages over MQTT go.

It is written as the PUBLISH that it stands for and read again: what MQTT would not take is not taken here.
"""

import asyncio
import base64
from http import HTTPStatus

import msgspec
from litestar import post
from litestar.di import NamedDependency

from appliance.gateway import Gateway
from broker.codec import Decoder
from broker.encode import encode
from broker.errors import ProtocolError
from broker.limits import Limits
from broker.message import Message
from broker.packets import NO_PROPERTIES, V5, Properties, Publish
from broker.ports import Denied
from broker.publication import travelling
from broker.reason_codes import ReasonCode
from web.device_http.answers import Answer, AnyRequest, RefusedError, done
from web.device_http.caller import caller, number, rest_of_path, yes_or_no
from web.shell import moment

PATH = "/topics/"
SETTLE_SECONDS = 20.0
"""How long a message may take to the disk before its sender is told to send it again."""
LONGEST_EXPIRY_S = 2**32 - 1

_Pairs = list[dict[str, str]] | str
_FORMATS = {"unspecified_bytes": 0, "0": 0, "utf8_data": 1, "1": 1}
_HEADER = "x-amz-mqtt5-"


@post("/topics/{topic:path}", status_code=200)
async def publish(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """Take a message. At QoS 1 the answer waits until it is on disk."""
    principal = await caller(request, gateway)
    if not gateway.broker.traffic.is_open:
        # As for connections of MQTT, which are not read then.
        raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "more waits to be written than the gateway can hold")
    qos, retain = number(request, "qos", 0, 1, 0), yes_or_no(request, "retain")
    packet = await packet_of(request, rest_of_path(request, PATH), gateway.broker.limits, qos=qos, retain=retain)
    now = moment()
    expiry_s = packet.properties.message_expiry_s
    message = Message(
        principal.tenant_id,
        principal.name,
        principal.name,
        packet.topic,
        packet.payload,
        packet.qos,
        packet.retain,
        now,
        travelling(packet.properties),
        None if expiry_s is None else now + expiry_s * 1_000,
    )
    denied = await _submitted(gateway, message)
    if denied is not None:
        raise RefusedError(HTTPStatus.FORBIDDEN, denied.reason)
    return done()


async def _submitted(gateway: Gateway, message: Message) -> Denied | None:
    """Why it may not be published; None once it was taken as its QoS asks for."""
    waiting: asyncio.Future[Denied | None] = asyncio.get_running_loop().create_future()

    def told(denied: Denied | None) -> None:
        if not waiting.done():
            waiting.set_result(denied)

    try:
        gateway.broker.proxy.submit(message, told)
        async with asyncio.timeout(SETTLE_SECONDS):
            return await waiting
    except ProtocolError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, error.reason) from error
    except TimeoutError as error:
        raise RefusedError(
            HTTPStatus.SERVICE_UNAVAILABLE, "the message is not on disk yet and may be lost: send it again"
        ) from error


async def packet_of(request: AnyRequest, topic: str, limits: Limits, *, qos: int, retain: bool) -> Publish:
    """What is in a request as the packet that a connection would have brought. Raises `RefusedError`."""
    written = Publish(topic, await request.body(), qos, retain, packet_id=qos, properties=_properties(request))
    try:
        data = encode(written, V5)
    except ValueError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the topic or a property is no text of MQTT") from error
    decoder = Decoder(limits.packet_bytes, limits.packet_bytes, V5)
    packets = decoder.feed(data)
    fault = decoder.failure
    if fault is not None:
        is_large = fault.code is ReasonCode.PACKET_TOO_LARGE
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE if is_large else HTTPStatus.BAD_REQUEST,
            fault.reason,
        )
    [packet] = packets
    assert isinstance(packet, Publish)  # noqa: S101  as it was written
    return packet


def _properties(request: AnyRequest) -> Properties:
    query = request.query_params
    found = Properties(
        payload_format_indicator=_format(request.headers.get(f"{_HEADER}payload-format-indicator")),
        message_expiry_s=number(request, "messageExpiry", 1, LONGEST_EXPIRY_S, 0) or None,
        content_type=query.get("contentType"),
        response_topic=query.get("responseTopic"),
        correlation_data=_binary("correlation-data", request.headers.get(f"{_HEADER}correlation-data")),
        user_properties=_pairs(request.headers.get(f"{_HEADER}user-properties")),
    )
    return NO_PROPERTIES if found == NO_PROPERTIES else found


def _format(text: str | None) -> int | None:
    if text is None:
        return None
    found = _FORMATS.get(text.lower())
    if found is None:
        raise _unreadable("payload-format-indicator", "UNSPECIFIED_BYTES or UTF8_DATA")
    return found


def _binary(name: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise _unreadable(name, "base64") from error


def _pairs(text: str | None) -> tuple[tuple[str, str], ...]:
    """User properties: `[{"name": "value"}, …]`, in base64. Some libraries of AWS write that as a text of JSON."""
    if text is None:
        return ()
    try:
        told = msgspec.json.decode(_binary("user-properties", text) or b"", type=_Pairs)
        pairs = msgspec.json.decode(told, type=list[dict[str, str]]) if isinstance(told, str) else told
    except msgspec.DecodeError as error:
        raise _unreadable("user-properties", "a list of objects of text, as JSON in base64") from error
    return tuple(pair for each in pairs for pair in each.items())


def _unreadable(name: str, expected: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, f"the header {_HEADER}{name} is not {expected}")


HANDLERS = (publish,)
