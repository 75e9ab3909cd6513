"""Whether a code is good, and for which device."""

import re
from fnmatch import fnmatchcase

from appliance.enrolment.codes.model import (
    LONGEST_MS,
    SHORTEST_MS,
    TARGET_LENGTH,
    Code,
    NewCode,
    Use,
)
from appliance.errors import InvalidInputError
from appliance.instant import MINUTE_MS, to_text
from appliance.registry.model import TEXT_LENGTH, Device

REPEAT_MS = 10 * MINUTE_MS
"""For this long a device whose answer was lost on the way may ask again, with the same key."""
REPEATS = 5

_TARGET = re.compile(r"[A-Za-z0-9:_*-]{1,128}", re.ASCII)
_SECRET = re.compile(r"[A-Z2-7]{32}", re.ASCII)


def checked(new: NewCode) -> NewCode:
    """Give back what is asked for when a code can be made of it. Raises `InvalidInputError`."""
    if not _TARGET.fullmatch(new.target):
        raise InvalidInputError(
            f"a code is for a device id of 1 to {TARGET_LENGTH} letters, digits, ':', '_' or '-',"
            " or for a pattern of these and '*'"
        )
    if max(len(new.type), len(new.zone)) > TEXT_LENGTH:
        raise InvalidInputError(f"type and zone have at most {TEXT_LENGTH} characters")
    if not SHORTEST_MS <= new.length_ms <= LONGEST_MS:
        raise InvalidInputError("a code is good for at least a minute and at most 366 days")
    return new


def canonical(secret: str) -> str:
    """The 32 characters of a code, however it was written; empty when it cannot be one."""
    found = re.sub(r"[\s-]", "", secret[:100]).upper()
    return found if _SECRET.fullmatch(found) else ""


def written(secret: str) -> str:
    """A code as people read it: groups of four."""
    return "-".join(secret[start : start + 4] for start in range(0, len(secret), 4))


def refusal(code: Code, now: int) -> str | None:
    """None when the code is open, else what became of it."""
    if code.revoked_at is not None:
        return f"this enrolment code was revoked at {to_text(code.revoked_at)}: ask for a new one"
    if code.used_at is not None:
        return f"this enrolment code was used at {to_text(code.used_at)}: ask for a new one"
    if code.expires_at <= now:
        return f"this enrolment code expired at {to_text(code.expires_at)}: ask for a new one"
    return None


def is_repetition(code: Code, use: Use) -> bool:
    """Whether a device asks again whose answer was lost: same device, same key, soon after, and not too often."""
    return (
        answers_until(code, use.at) is not None
        and code.used_at is not None
        and code.used_at <= use.at
        and (use.device_id, use.key_fingerprint) == (code.used_by, code.used_key)
    )


def answers_until(code: Code, now: int) -> int | None:
    """Until when a code that was used answers its device again; None when it does not."""
    if code.revoked_at is not None or code.used_at is None or code.used_key == "" or code.use_count >= REPEATS:
        return None
    until = code.used_at + REPEAT_MS
    return until if now < until else None


def misfit(code: Code, device_id: str, serial_number: str, device: Device | None) -> str | None:
    """None when the code may enrol this device, which may not be registered yet, else why not."""
    if device is not None and code.type and code.is_pattern and device.type != code.type:
        return f"this enrolment code is for devices of the type {code.type}"
    # A serial number that the registry knows counts; what a stranger says of itself only where nothing is known.
    serial_number = device.serial_number if device is not None else serial_number
    names = [device_id, *([serial_number] if serial_number and code.is_pattern else [])]
    if any(fnmatchcase(name, code.target) for name in names):
        return None
    return f"this enrolment code is not for {device_id}"
