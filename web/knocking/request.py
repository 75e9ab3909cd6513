"""The one request that a device may make when it knocks: `POST /enrol`, with a little JSON or nothing.

One request a connection, a head of 8 kB and a body of 16 kB at most. Whatever else comes is answered in a sentence.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

import h11
import msgspec

from appliance.enrolment.tray.model import Said

PATH = "/enrol"
HEAD_BYTES = 8_192
BODY_BYTES = 16_384
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_Id = Annotated[str, msgspec.Meta(max_length=128)]
_Type = Annotated[str, msgspec.Meta(max_length=64)]
_Text = Annotated[str, msgspec.Meta(max_length=256)]


class Refusal(Exception):  # noqa: N818  it is an answer, not a mishap
    """The request is answered with this status and sentence."""

    def __init__(self, status: HTTPStatus, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a device may say of itself."""

    device_id: _Id = ""
    type: _Type = ""
    serial_number: _Text = ""
    note: _Text = ""


class Reading:
    """A request as it comes in, piece by piece."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._body = bytearray()
        self._is_head_read = False

    @property
    def wants_word(self) -> bool:
        """Whether the client sends the rest only when it is told to go on."""
        return self._is_head_read and self._connection.they_are_waiting_for_100_continue

    def receive(self, came: bytes) -> Said | None:
        """Take the next bytes; what the device says, once the request is whole. Raises `Refusal`."""
        try:
            self._connection.receive_data(came)
            while isinstance(event := self._connection.next_event(), h11.Request | h11.Data):
                if isinstance(event, h11.Request):
                    _check(event)
                    self._is_head_read = True
                else:
                    self._body += event.data
            return _said(bytes(self._body)) if isinstance(event, h11.EndOfMessage) else None
        except h11.RemoteProtocolError as error:
            raise Refusal(HTTPStatus(error.error_status_hint), "this is no request that can be read") from error

    def allow_rest(self) -> bytes:
        """The word that lets the client go on."""
        return self._connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b""


def _check(request: h11.Request) -> None:
    if request.target.partition(b"?")[0] != PATH.encode():
        raise Refusal(HTTPStatus.NOT_FOUND, f"there is nothing here but {PATH}")
    if request.method != b"POST":
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{PATH} takes POST alone", {"allow": "POST"})
    headers = dict(request.headers)
    if b"transfer-encoding" in headers:
        raise Refusal(HTTPStatus.LENGTH_REQUIRED, "the request has to say how long its body is: Content-Length")
    length = int(headers.get(b"content-length", b"0"))
    if length > BODY_BYTES:
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has {length} bytes; at most {BODY_BYTES} are taken"
        )
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if length and kind != b"application/json":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body has to be of the type application/json, or empty")


def _said(body: bytes) -> Said:
    if not body:
        return Said()
    try:
        told = msgspec.json.decode(body, type=Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body cannot be used: {error}") from error
    return Said(told.device_id, told.type, told.serial_number, told.note)
