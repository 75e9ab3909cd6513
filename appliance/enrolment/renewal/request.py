"""What is said about renewal over MQTT: the gateway's asking, a device's request, and the answer to it."""

import msgspec

from appliance.instant import to_text
from appliance.registry.model import Granted, InvalidRequestError

PAYLOAD_LIMIT = 32_768
"""The most bytes of a request: a signing request may have 16,384."""

_BEGIN, _END = "$headworks/devices/", "/certificate/renew"


class Reminder(msgspec.Struct, frozen=True):
    """What a device is told whose certificate is to be renewed."""

    renew: bool
    not_after: str
    """When the present certificate ends, ISO 8601."""
    est: str | None
    """Where it may renew by EST; null where it cannot."""
    topic: str
    """Where it may renew by MQTT."""


class RenewRequest(msgspec.Struct, frozen=True):
    """A certificate signing request, PEM."""

    csr: str


class Renewed(msgspec.Struct, frozen=True):
    """The new certificate, and the CAs that vouch for it."""

    certificate: str
    not_after: str
    fingerprint: str


class Rejected(msgspec.Struct, frozen=True):
    """Why there is no new certificate."""

    code: str
    message: str


def est_url(host: str, port: int | None) -> str | None:
    """Where devices renew by EST, which takes a name and a port of their own; None without these."""
    return f"https://{host}:{port}/.well-known/est/simplereenroll" if host and port else None


def reminder_topic(device_id: str) -> str:
    """Where a device hears that its certificate is to be renewed."""
    return f"cmd/{device_id}/certificate"


def request_topic(device_id: str) -> str:
    """Where a device asks for a new certificate."""
    return f"{_BEGIN}{device_id}{_END}"


def device_named(topic: str) -> str | None:
    """The device that a topic name of requests is for; None when it is none of these."""
    if topic.startswith(_BEGIN) and topic.endswith(_END):
        return topic[len(_BEGIN) : -len(_END)]
    return None


def accepted_topic(topic: str) -> str:
    """Where a request is answered that was granted."""
    return f"{topic}/accepted"


def rejected_topic(topic: str) -> str:
    """Where a request is answered that was not."""
    return f"{topic}/rejected"


def reminder(device_id: str, expires_at: int, est_url: str | None) -> bytes:
    """What a device is told; `expires_at` is the end of its present certificate."""
    return msgspec.json.encode(
        Reminder(renew=True, not_after=to_text(expires_at), est=est_url, topic=request_topic(device_id))
    )


def signing_request(payload: bytes) -> bytes:
    """The signing request in a message. Raises `InvalidRequestError`."""
    if len(payload) > PAYLOAD_LIMIT:
        raise InvalidRequestError(f"the message has {len(payload)} bytes; at most {PAYLOAD_LIMIT} are taken")
    try:
        return msgspec.json.decode(payload, type=RenewRequest).csr.encode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidRequestError(f'expected {{"csr": "…"}} with a signing request, PEM: {error}') from error


def granted(certificate: Granted) -> bytes:
    """The answer with a certificate."""
    return msgspec.json.encode(Renewed(certificate.chain_pem, to_text(certificate.expires_at), certificate.fingerprint))


def rejected(code: str, reason: str) -> bytes:
    """The answer without one."""
    return msgspec.json.encode(Rejected(code, reason))
