"""The topics of shadows: which are requests, and where they are answered."""

import re
from functools import lru_cache

from appliance.shadows.model import Address, Verb

PREFIX = "$aws/things/"
_REMEMBERED = 4_096
_REQUEST = re.compile(r"\$aws/things/([^/]+)/shadow(?:/name/([^/]+))?/(get|update|delete)")


@lru_cache(_REMEMBERED)
def address(topic: str) -> Address | None:
    """What a topic name asks for; None when it is no request to a shadow."""
    found = _REQUEST.fullmatch(topic)
    return None if found is None else Address(found[1], found[2] or "", Verb(found[3]))


def asked(address: Address) -> str:
    """The topic on which this is asked for; it is answered on those below: `accepted`, `delta` and so on."""
    named = f"/name/{address.name}" if address.name else ""
    return f"{PREFIX}{address.device_id}/shadow{named}/{address.verb}"


def answered(address: Address, word: str) -> str:
    """The topic of an answer: of `accepted`, `rejected`, `delta` or `documents`."""
    return f"{asked(address)}/{word}"
