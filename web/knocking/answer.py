"""What somebody is answered who knocks with a certificate of their own making."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from appliance.enrolment.tray import waiting
from appliance.enrolment.tray.model import Knock
from appliance.errors import ApplianceError, TooManyAttemptsError
from web.knocking.request import Refusal


class Answer(msgspec.Struct, frozen=True):
    """A status, headers, and what is said as JSON."""

    status: HTTPStatus
    told: Mapping[str, Any]
    headers: Mapping[str, str] = {}

    def encoded(self) -> bytes:
        """The answer as HTTP/1.1 has it. It is the last one of its connection."""
        content = msgspec.json.encode(self.told) + b"\n"
        headers = {
            "content-type": "application/json",
            "content-length": str(len(content)),
            "cache-control": "no-store",
            "connection": "close",
            **self.headers,
        }
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            *(f"{name}: {headers[name]}" for name in headers),
        ]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + content


class Place(msgspec.Struct, frozen=True):
    """What a device needs beside its own certificate."""

    host: str
    mqtt_port: int
    chain_pem: str
    """What it shows behind its own certificate."""
    root_pem: str
    """What it trusts."""


def pending(knock: Knock, now: int) -> Answer:
    """Nobody has decided yet. The code is the beginning of the key's fingerprint, as the tray shows it."""
    wait_s = waiting.retry_after_s(knock.first_at, now)
    told = {
        "state": "pending",
        "code": waiting.short_code(knock.key_fingerprint),
        "key_fingerprint": knock.key_fingerprint,
        "reason": _sentence(f"a person has to let this device in: ask again in {wait_s} seconds"),
    }
    return Answer(HTTPStatus.ACCEPTED, told, {"retry-after": str(wait_s)})


def granted(knock: Knock, place: Place) -> Answer:
    """Somebody was let in: their certificate, for the key that they have shown, and where to connect."""
    told = {
        "state": "accepted",
        "device_id": knock.device_id,
        "certificate": knock.certificate + place.chain_pem,
        "root": place.root_pem,
        "host": place.host,
        "port": place.mqtt_port,
    }
    return Answer(HTTPStatus.OK, told)


def refused(error: ApplianceError) -> Answer:
    """What the tray has refused, in a sentence."""
    if isinstance(error, TooManyAttemptsError):
        return _told(HTTPStatus.TOO_MANY_REQUESTS, error.code, str(error), {"retry-after": "60"})
    return _told(HTTPStatus.FORBIDDEN, error.code, str(error))


def unfit(reason: str) -> Answer:
    """The key that was shown is none that a device may have."""
    return _told(HTTPStatus.BAD_REQUEST, "unfit_key", reason)


def not_understood(refusal: Refusal) -> Answer:
    """The request is none that is taken here."""
    return _told(refusal.status, "invalid_input", refusal.reason, refusal.headers)


def mistaken() -> Answer:
    """What should not happen."""
    reason = "the gateway made a mistake: its log has the cause"
    return _told(HTTPStatus.INTERNAL_SERVER_ERROR, "defect", reason)


def _told(status: HTTPStatus, code: str, reason: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, {"state": "refused", "error": code, "reason": _sentence(reason)}, headers or {})


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
