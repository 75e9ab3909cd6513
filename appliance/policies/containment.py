"""Whether one pattern covers another, or touches it. Exact where it is cheap, and never wrong in a device's favour.

A pattern is a text in which some characters stand for others:
- `*` any run of characters, `/` among them; `?` any one character (patterns of AWS);
- `+` one whole level; `#` as the last level, the level before it and all below it (MQTT 3.1.1, 4.7.1).

A wish is what a client asks for: a topic name, or a topic filter, where only `+` and `#` stand for others. A wildcard
at the start of a filter never stands for a `$` [MQTT-4.7.2-1]. The same holds for what a pattern of MQTT allows; what
a pattern denies is never narrower than it reads.
"""

import sys
from collections.abc import Iterable, Iterator

STEPS_LIMIT = 250
"""How many pairs of places in two patterns are looked at. More is not worth a device's while: the answer is no."""

LENGTH_LIMIT = 512
"""The longest wish, in characters, that is laid over a pattern with `*` or `?`."""

PATTERN_STEPS = 2
"""What it takes to look at a pattern at all."""
_CHARACTERS_PER_STEP = 256
_PLACES_PER_STEP = 4

_OTHER = "\0"
"""Any character that stands in neither of two patterns; no topic holds a NUL."""


class TooManySteps(Exception):  # noqa: N818  not an error: it is a denial, by whoever set the bound
    """A judgement would take longer than it may."""


class Steps:
    """How much may still be looked at in one judgement; a step takes about a microsecond."""

    __slots__ = ("left",)

    def __init__(self, left: int = sys.maxsize) -> None:
        self.left = left

    def take(self, count: int) -> None:
        """Raises `TooManySteps` when there are not so many left."""
        self.left -= count
        if self.left < 0:
            raise TooManySteps


class Pattern:
    """A text in which `+`, `#` and, if they are `globs`, `*` and `?` stand for others."""

    __slots__ = ("_is_levels", "_levels", "_parts", "_tokens", "text")

    def __init__(self, text: str, *, levels: bool = True, globs: bool = False) -> None:
        self.text = text
        has_globs = globs and ("*" in text or "?" in text)
        self._is_levels = not has_globs
        # Where `+` and `#` stand for themselves, no topic matches them level by level, because none holds them.
        self._levels = text.split("/") if levels else [_literal(level) for level in text.split("/")]
        has_levels = levels and any(level in ("+", "#") for level in self._levels)
        self._parts = text.split("*") if has_globs and not has_levels else None
        self._tokens: tuple[str, ...] | None = None if not has_globs else _tokens(text, levels=levels, globs=True)

    def matches(self, topic: str, *, denies: bool = False, steps: Steps | None = None) -> bool:
        """Whether it stands for this topic name, or client identifier. Raises `TooManySteps`."""
        steps = steps or Steps()
        steps.take(PATTERN_STEPS + len(topic) // _CHARACTERS_PER_STEP)
        if self._is_levels:
            return _covers_levels(self._levels, topic.split("/"), denies=denies)
        if self._parts is not None:
            return _matches_glob(self._parts, topic, steps)
        return self._run(topic, steps, denies=denies)

    def covers(self, wish: str, steps: Steps | None = None) -> bool:
        """Whether it stands for every topic name that the filter `wish` matches. Raises `TooManySteps`."""
        steps = steps or Steps()
        steps.take(PATTERN_STEPS + len(wish) // _CHARACTERS_PER_STEP)
        levels = wish.split("/")
        if self._is_levels:
            return _covers_levels(self._levels, levels, denies=False)
        if not _has_wildcard(levels):
            return self.matches(wish, steps=steps)
        assert self._tokens is not None  # noqa: S101  for the type checker
        if len(wish) > LENGTH_LIMIT:
            return False
        return _covers_tokens(self._tokens, _tokens(wish, levels=True, globs=False), steps)

    def touches(self, wish: str, steps: Steps | None = None) -> bool:
        """Whether it stands for any topic name that `wish` matches, as a denial reads it. Raises `TooManySteps`."""
        steps = steps or Steps()
        steps.take(PATTERN_STEPS + len(wish) // _CHARACTERS_PER_STEP)
        levels = wish.split("/")
        if self._is_levels:
            return _touches_levels(self._levels, levels)
        if not _has_wildcard(levels):
            return self.matches(wish, denies=True, steps=steps)
        assert self._tokens is not None  # noqa: S101  for the type checker
        if len(wish) > LENGTH_LIMIT:
            return True
        return _touches_tokens(self._tokens, _tokens(wish, levels=True, globs=False), steps)

    def _run(self, topic: str, steps: Steps, *, denies: bool) -> bool:
        assert self._tokens is not None  # noqa: S101  for the type checker
        if not denies and topic[:1] == "$" and self._tokens[:1] in ((_LEVEL,), (_TOP,)):
            return False
        if len(topic) > LENGTH_LIMIT:
            return denies
        places = _closure(self._tokens, (0,))
        for character in topic:
            steps.take(_STEPS_OF_A_STEP + len(places))
            places = _step(self._tokens, places, character)
            if not places:
                return False
        return len(self._tokens) in places


def contains(resource: str, topic_filter: str) -> bool:
    """Whether every topic name that one topic filter matches is also matched by the filter `resource`."""
    return Pattern(resource).covers(topic_filter)


# Level by level: all that MQTT itself can say.


def _literal(level: str) -> str:
    return f"{_OTHER}{level}" if level in ("+", "#") else level


def _has_wildcard(levels: list[str]) -> bool:
    return levels[-1] == "#" or "+" in levels


def _covers_levels(resource: list[str], wish: list[str], *, denies: bool) -> bool:
    if not denies and resource[0] in ("+", "#") and wish[0][:1] == "$":
        return False
    for position, level in enumerate(resource):
        if level == "#":
            # Also the parent: `a/#` matches `a`. What follows in the wish can only be narrower.
            return True
        if position >= len(wish) or wish[position] == "#":
            return False
        if level not in ("+", wish[position]):
            return False
    return len(wish) == len(resource)


def _touches_levels(resource: list[str], wish: list[str]) -> bool:
    if wish[0] in ("+", "#") and resource[0][:1] == "$":
        return False
    for position, level in enumerate(resource):
        wanted = wish[position] if position < len(wish) else None
        if level == "#" or wanted == "#":
            return True
        if wanted is None or (level != wanted and "+" not in (level, wanted)):
            return False
    return len(wish) == len(resource) or wish[len(resource) :] == ["#"]


# Stars: the leftmost place for each part is as good as any other.


def _matches_glob(parts: list[str], text: str, steps: Steps) -> bool:
    first, *middle = parts
    if not middle:
        return len(text) == len(first) and _fits(first, text, 0)
    last = middle.pop()
    end = len(text) - len(last)
    if end < len(first) or not _fits(first, text, 0) or not _fits(last, text, end):
        return False
    position = len(first)
    for part in middle:
        # A part with a `?` may be laid at every place.
        steps.take(1 + ("?" in part) * (end - position) * len(part) // _PLACES_PER_STEP)
        position = _find(part, text, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def _fits(part: str, text: str, position: int) -> bool:
    if "?" not in part:
        return text.startswith(part, position)
    return all(wanted in ("?", found) for wanted, found in zip(part, text[position:], strict=False))


def _find(part: str, text: str, position: int, end: int) -> int:
    """The first place of a part that ends before `end`; -1 when there is none."""
    if "?" not in part:
        return text.find(part, position, end)
    return next((place for place in range(position, end - len(part) + 1) if _fits(part, text, place)), -1)


# Everything together: tokens, and the places between them that a text may lead to.

_RUN, _ONE, _LEVEL, _BELOW = "run", "one", "level", "below"
_TOP = "top"
"""`#` alone: a run that, as the start of a filter, never stands for a `$`."""
_LEVELS = (_LEVEL, _TOP)
_SKIPPED = (_RUN, _TOP, _LEVEL)
_STEPS_OF_A_STEP = 2
"""What a character takes besides the places that it is laid on."""


def _tokens(text: str, *, levels: bool, globs: bool) -> tuple[str, ...]:
    found: list[str] = []
    split = text.split("/")
    for index, level in enumerate(split):
        if levels and level == "#" and index == len(split) - 1:
            found.extend((_BELOW, _RUN) if index else (_TOP,))
            break
        if index:
            found.append("/")
        if levels and level == "+":
            found.append(_LEVEL)
        else:
            for each in level:
                token = {"*": _RUN, "?": _ONE}.get(each, each) if globs else each
                # Two runs in a row stand for what one does.
                if token != _RUN or found[-1:] != [_RUN]:
                    found.append(token)
    return tuple(found)


def _closure(tokens: tuple[str, ...], places: Iterable[int]) -> frozenset[int]:
    """Where one may also be without a further character."""
    found: set[int] = set()
    for place in places:
        reached = place
        found.add(reached)
        while reached < len(tokens) and tokens[reached] in _SKIPPED:
            reached += 1
            found.add(reached)
        if reached < len(tokens) and tokens[reached] == _BELOW:
            found.add(len(tokens))
    return frozenset(found)


def _step(tokens: tuple[str, ...], places: Iterable[int], character: str) -> frozenset[int]:
    return _closure(tokens, (after for place in places for after in _after(tokens, place, character)))


def _after(tokens: tuple[str, ...], place: int, character: str) -> Iterator[int]:
    if place == len(tokens):
        return
    token = tokens[place]
    if token in (_RUN, _TOP) or (token == _LEVEL and character != "/"):
        yield place
    elif token in (_ONE, character) or (token == _BELOW and character == "/"):
        yield place + 1


def _characters(*sides: tuple[tuple[str, ...], frozenset[int]]) -> Iterable[str]:
    """Every character that makes a difference at these places, and one for all the others.

    Always in the same order, for how many steps a judgement takes hangs on it.
    """
    found = dict.fromkeys(("/", "$", _OTHER))
    for tokens, places in sides:
        found.update((tokens[place], None) for place in places if place < len(tokens) and len(tokens[place]) == 1)
    return found


_Pair = tuple[frozenset[int], frozenset[int]]


def _pairs(
    resource: tuple[str, ...], wish: tuple[str, ...], steps: Steps, *, is_whole: bool, denies: bool
) -> Iterator[_Pair | None]:
    """The places that each text of the wish leads to on both sides; None when there are too many to look at."""
    start = (_closure(wish, (0,)), _closure(resource, (0,)))
    seen: set[_Pair] = set()
    if not is_whole:
        # What was cut off both is a text, too.
        yield start
    # The start may be come upon again: from then on a `$` is a character like every other.
    waiting = [(start, is_whole)]
    while waiting:
        pair, is_first = waiting.pop()
        for after in _pairs_after(resource, wish, pair, steps, is_first=is_first, denies=denies):
            if after not in seen:
                seen.add(after)
                yield after
                waiting.append((after, False))
        if len(seen) > STEPS_LIMIT:
            yield None
            return


def _pairs_after(
    resource: tuple[str, ...], wish: tuple[str, ...], pair: _Pair, steps: Steps, *, is_first: bool, denies: bool
) -> Iterator[_Pair]:
    wished, covered = pair
    for character in _characters((wish, wished), (resource, covered)):
        steps.take(2 * _STEPS_OF_A_STEP + len(wished) + len(covered))
        is_reserved = is_first and character == "$"
        if is_reserved and wish[0] in _LEVELS:
            continue
        reached = _step(wish, wished, character)
        if reached:
            is_kept_out = is_reserved and not denies and resource[:1] in ((_LEVEL,), (_TOP,))
            yield reached, frozenset() if is_kept_out else _step(resource, covered, character)


def _same_start(resource: tuple[str, ...], wish: tuple[str, ...]) -> int:
    """How many characters both begin with; -1 when they begin otherwise, and so have no text in common."""
    for place, (here, there) in enumerate(zip(resource, wish, strict=False)):
        if len(here) > 1 or len(there) > 1:
            return place
        if here != there:
            return -1
    return min(len(resource), len(wish))


def _covers_tokens(resource: tuple[str, ...], wish: tuple[str, ...], steps: Steps) -> bool:
    same = _same_start(resource, wish)
    if same < 0:
        return False
    resource, wish = resource[same:], wish[same:]
    if resource and wish and len(resource[0]) == 1 < len(wish[0]):
        return False  # The wish goes on with whatever it likes, or ends.
    for pair in _pairs(resource, wish, steps, is_whole=same == 0, denies=False):
        if pair is None or (len(wish) in pair[0] and len(resource) not in pair[1]):
            return False
    return True


def _touches_tokens(resource: tuple[str, ...], wish: tuple[str, ...], steps: Steps) -> bool:
    same = _same_start(resource, wish)
    if same < 0:
        return False
    resource, wish = resource[same:], wish[same:]
    return any(
        pair is None or (len(wish) in pair[0] and len(resource) in pair[1])
        for pair in _pairs(resource, wish, steps, is_whole=same == 0, denies=True)
    )
