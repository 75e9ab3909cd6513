"""How long somebody waits who knocked, and what they may be called."""

import re

from appliance.enrolment.tray.model import Knock
from appliance.instant import SECOND_MS

_SHORTEST_S = 5
_LONGEST_S = 300
_PATIENCE = 6
"""Who has waited a minute is asked to come back after a sixth of it."""

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9:_-]+", re.ASCII)
_ID_LENGTH = 128
_TAG_LENGTH = 12
_CODE_LENGTH = 16


def retry_after_s(first_at: int, now: int) -> int:
    """In how many seconds to ask again: soon at first, for somebody may be about to click."""
    return min(max((now - first_at) // (_PATIENCE * SECOND_MS), _SHORTEST_S), _LONGEST_S)


def suggested_id(knock: Knock) -> str:
    """A device id made of what a knock says of itself, or else of its key."""
    for text in (knock.wanted_id, knock.common_name, knock.serial_number):
        found = _NOT_IN_IDS.sub("-", text).strip("-")[:_ID_LENGTH]
        if found:
            return found
    return f"device-{knock.key_fingerprint[:_TAG_LENGTH]}"


def short_code(key_fingerprint: str) -> str:
    """The part of a key's fingerprint that a person compares."""
    return key_fingerprint[:_CODE_LENGTH]
