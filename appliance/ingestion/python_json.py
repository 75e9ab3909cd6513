"""JSON with the words that Python and many other encoders write for numbers that JSON has none for.

Rules:
- `NaN`, `Infinity` and `-Infinity` are numbers. In all else it is as strict as the usual decoder: half a surrogate pair
  and a number beyond the greatest double are refused.
- It is slower: whoever reads asks the usual decoder first.
"""

import json
from math import isinf
from typing import Any


def may_be(payload: bytes) -> bool:
    """Whether one of the words stands in a payload."""
    return b"NaN" in payload or b"Infinity" in payload


def decode(payload: bytes) -> Any:
    """What a payload says. Raises `ValueError` and `RecursionError`."""
    text = payload.decode()
    decoded = json.loads(text, parse_float=_finite)
    if "\\u" in text:
        # The module takes half a surrogate pair; this raises `UnicodeEncodeError`.
        encode(decoded).encode()
    return decoded


def encode(value: object) -> str:
    """What is decoded to the same value. Raises `RecursionError`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError("a number beyond the greatest double")
    return number
