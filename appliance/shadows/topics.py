"""The topics of shadows: which are requests, and where they are answered."""

import re

from appliance.shadows.model import Address, Verb

_REQUEST = re.compile(r"\$aws/things/([^/]+)/shadow(?:/name/([^/]+))?/(get|update|delete)")


def address(topic: str) -> Address | None:
    """What a topic name asks for; None when it is no request to a shadow."""
    found = _REQUEST.fullmatch(topic)
    return None if found is None else Address(found[1], found[2] or "", Verb(found[3]))


def answered(address: Address, word: str) -> str:
    """The topic of an answer: of `accepted`, `rejected`, `delta` or `documents`."""
    named = f"/name/{address.name}" if address.name else ""
    return f"$aws/things/{address.device_id}/shadow{named}/{address.verb}/{word}"
