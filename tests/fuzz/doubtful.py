"""Texts that a server may refuse, and most do not [MQTT 5, 1.5.4]."""

import unicodedata
from collections.abc import Iterator

import msgspec


def texts_of(value: object) -> Iterator[str]:
    """Every text in a packet."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from texts_of(one)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from texts_of(getattr(value, name))


def is_doubtful(text: str) -> bool:
    """Whether it has a control character or one that is none, which a server may refuse."""
    return any(
        unicodedata.category(one) == "Cc" or ord(one) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(one) < 0xFDF0 for one in text
    )
