"""How many of many have come how far: a bar of parts, and its legend. Pure."""

from collections.abc import Sequence

import msgspec

WIDTH = 100.0
LEAST_WIDTH = 1.0
"""One of ten thousand is seen, too."""


class Part(msgspec.Struct, frozen=True):
    """Those in one state."""

    key: str
    """The name of its colour."""
    word: str
    count: int
    x: float
    width: float
    """In hundredths of the bar."""


class Bar(msgspec.Struct, frozen=True):
    """All of them."""

    parts: tuple[Part, ...]
    total: int

    @property
    def told(self) -> str:
        """The same in a sentence."""
        return ", ".join(f"{part.count:,} {part.word}" for part in self.parts) or "nobody yet"


def bar(counts: Sequence[tuple[str, str, int]]) -> Bar:
    """The bar of `(key, word, count)`, in this order; what is nobody is left out."""
    present = [(key, word, count) for key, word, count in counts if count > 0]
    total = sum(count for _, _, count in present)
    least = [max(WIDTH * count / total, LEAST_WIDTH) for _, _, count in present]
    scale = WIDTH / sum(least) if least else 1.0
    parts, x = [], 0.0
    for (key, word, count), wide in zip(present, least, strict=True):
        width = wide * scale
        parts.append(Part(key, word, count, round(x, 2), round(width, 2)))
        x += width
    return Bar(tuple(parts), total)
