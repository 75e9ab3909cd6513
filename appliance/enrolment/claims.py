"""What the bearers of a claim may do: enrol, and nothing else (S-29)."""

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

import msgspec

from appliance.enrolment.model import (
    REQUESTS_PER_MINUTE,
    SERIALS_LIMIT,
    USES_LIMIT,
    Claim,
    InvalidClaimError,
    NewClaim,
)
from appliance.enrolment.template import NAME_PATTERN, SERIAL_NUMBER
from appliance.instant import MINUTE_MS, to_text
from appliance.registry.model import TEXT_LENGTH

FORMATS = ("json", "cbor")
_FILTER_SIGNS = re.compile(r"[+#/\0]")


class Minute(msgspec.Struct, frozen=True):
    """How much a claim's bearers have asked for in a minute."""

    number: int = 0
    count: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the latest request is one too many."""
        return self.count > REQUESTS_PER_MINUTE

    @property
    def is_told(self) -> bool:
        """Whether it was full before the latest request: a refusal is no cheaper than an answer, so one is enough."""
        return self.count > REQUESTS_PER_MINUTE + 1


def counted(minute: Minute, now: int) -> Minute:
    """The minute with one more request in it."""
    number = now // MINUTE_MS
    return Minute(number, minute.count + 1 if minute.number == number else 1)


def request_topics(template: str) -> frozenset[str]:
    """The topic names of the requests that a claim on this template is for."""
    bases = ("$aws/certificates/create", "$aws/certificates/create-from-csr", provision_base(template))
    return frozenset(f"{base}/{form}" for base in bases for form in FORMATS)


def provision_base(template: str) -> str:
    """The topic of requests to provision by this template, without the format."""
    return f"$aws/provisioning-templates/{template}/provision"


def publish_refusal(claim: Claim, topic: str) -> str | None:
    """None when the claim's bearer may publish there, else why not."""
    if topic in request_topics(claim.template):
        return None
    return f"the claim {claim.name!r} is for enrolment by the template {claim.template!r} alone, not for {topic[:80]!r}"


def subscribe_refusal(claim: Claim, topic_filter: str) -> str | None:
    """None when the claim's bearer may receive what this filter matches, else why not."""
    base, _, end = topic_filter.rpartition("/")
    if end in ("accepted", "rejected") and base in request_topics(claim.template):
        return None
    return (
        f"the claim {claim.name!r} is for the answers to its requests by the template {claim.template!r} alone,"
        f" not for {topic_filter[:80]!r}"
    )


def connect_refusal(claim: Claim, client_id: str, now: int) -> str | None:
    """None when a bearer of the claim may connect under this client identifier, else why not."""
    if _FILTER_SIGNS.search(client_id):
        return f"the client identifier {client_id[:80]!r} of a claim's bearer holds a wildcard or a slash"
    return refusal(claim, now)


def refusal(claim: Claim, now: int) -> str | None:
    """None when the claim is good, else why not."""
    if claim.revoked_at is not None:
        return f"the claim {claim.name!r} was revoked at {to_text(claim.revoked_at)}"
    if claim.expires_at <= now:
        return f"the claim {claim.name!r} expired at {to_text(claim.expires_at)}"
    if claim.use_count >= claim.use_limit:
        return f"the claim {claim.name!r} is spent: all of its {claim.use_limit} uses are used"
    return None


def serial_refusal(claim: Claim, serial_number: str | None, listed: Collection[str]) -> str | None:
    """None when the claim is for a device of this serial number, else why not.

    `listed` are those serial numbers of the claim's list that it was asked about.
    """
    if not claim.serial_pattern and not claim.serial_count:
        return None
    if not serial_number:
        return f"the claim {claim.name!r} asks for the parameter {SERIAL_NUMBER}"
    if claim.serial_count and serial_number not in listed:
        return f"the serial number {serial_number[:80]!r} is not on the list of the claim {claim.name!r}"
    pattern = claim.serial_pattern
    if pattern and not fnmatchcase(serial_number, pattern):
        return f"the serial number {serial_number[:80]!r} does not fit {pattern!r} of the claim {claim.name!r}"
    return None


def used_refusal(claim: Claim, serial_number: str, listed: Mapping[str, str], device_id: str) -> str | None:
    """None when a serial number of the claim's list is free for this device, else why not.

    `listed` says which device has a serial number; an empty text is nobody. The device itself may come again.
    """
    if listed.get(serial_number, "") in ("", device_id):
        return None
    return f"the serial number {serial_number[:80]!r} on the list of the claim {claim.name!r} is another device's"


def check_new_claim(new: NewClaim, now: int) -> NewClaim:
    """Give back a claim as it is asked for when there can be such. Raises `InvalidClaimError`."""
    if not 0 < len(new.name) <= TEXT_LENGTH or not new.name.isprintable():
        raise InvalidClaimError(f"the name of a claim has 1 to {TEXT_LENGTH} characters that can be seen")
    if new.expires_at <= now:
        raise InvalidClaimError(f"the claim would expire at {to_text(new.expires_at)}, which is over")
    if not 1 <= new.use_limit <= USES_LIMIT:
        raise InvalidClaimError(f"the number of uses is {new.use_limit}, expected 1 to {USES_LIMIT}")
    if len(new.serial_pattern) > TEXT_LENGTH or not (new.serial_pattern or "x").isprintable():
        raise InvalidClaimError(f"the pattern of serial numbers has more than {TEXT_LENGTH} characters")
    if len(new.serials) > SERIALS_LIMIT:
        raise InvalidClaimError(f"there are {len(new.serials)} serial numbers; at most {SERIALS_LIMIT} are taken")
    if any(not 0 < len(serial) <= TEXT_LENGTH or not serial.isprintable() for serial in new.serials):
        raise InvalidClaimError(f"a serial number has 1 to {TEXT_LENGTH} characters that can be seen")
    return new


def check_template_name(name: str) -> str:
    """Give back the name when a template can have it. Raises `InvalidClaimError`."""
    if not re.match(NAME_PATTERN, name, re.ASCII) or "\n" in name:
        raise InvalidClaimError(f"{name[:40]!r} cannot name a template: expected 1 to 36 letters, digits, '_' or '-'")
    return name
