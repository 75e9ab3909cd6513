"""Regular expressions that take time in proportion to the text, whatever they are.

Those of the standard library can be made to run for years by whoever writes them. Known are letters, `.`, `[a-z]`,
`[^a-z]`, groups, `|`, `*`, `+`, `?`, a backslash before what is special or one of `d w s`, and `(?i)` at the beginning,
for which large and small ASCII letters are the same. All else is refused. A pattern matches a whole text.

Rules:
- What follows a set of states and a letter is found once and kept: of a fleet whose names are alike the second name
  takes a look-up for each letter, whatever the pattern is. What is kept is bounded, and found again when it was let go.
- Between two letters whose states are not known the work may be given up.
"""

from collections.abc import Callable
from string import ascii_letters, digits

from appliance.telemetry.promql.model import QueryError
from appliance.telemetry.wanted import Check, is_wanted

LENGTH_LIMIT = 4_000
KEPT_LIMIT = 100_000
"""So many states, those of all sets counted, and ways between sets are kept; they take some 10 MB."""
_REPETITIONS = frozenset("*+?")
_SPECIAL = frozenset("*+?|()[]{}^$.\\/-")
_CLASSES: dict[str, Callable[[str], bool]] = {
    "d": "0123456789".__contains__,
    "w": (ascii_letters + digits + "_").__contains__,
    "s": "\t\n\f\r ".__contains__,
}

_ANY_CASE = "(?i)"

Test = Callable[[str], bool]
_State = int
_States = frozenset[_State]


class Pattern:
    """A pattern, taken apart."""

    def __init__(self, text: str) -> None:
        """Raises `QueryError`."""
        if len(text) > LENGTH_LIMIT:
            raise QueryError(f"a regular expression has {len(text):,} characters, at most {LENGTH_LIMIT:,} are taken")
        self._text = text
        self._is_any_case = text.startswith(_ANY_CASE)
        self._at = len(_ANY_CASE) if self._is_any_case else 0
        self._steps: list[tuple[Test, _State] | None] = []
        """By state: what a letter must be, and the state after it."""
        self._leaps: list[list[_State]] = []
        """By state: the states that are reached without a letter."""
        begin, self._end = self._choice(depth=0)
        if self._at < len(text):
            raise self._fault("a ) without its (")
        self._first = self._reached({begin})
        self._sets = {self._first: self._first}
        self._after: dict[tuple[_States, str], _States] = {}
        self._kept_count = 0

    def matches(self, text: str, check: Check = is_wanted) -> bool:
        """Whether the whole of a text is as the pattern says."""
        states = self._first
        for letter in text:
            after = self._after.get((states, letter))
            if after is None:
                check()
                after = self._kept(states, letter)
            if not after:
                return False
            states = after
        return self._end in states

    def _kept(self, states: _States, letter: str) -> _States:
        """Where a letter leads; kept."""
        found = {step[1] for state in states if (step := self._steps[state]) is not None and step[0](letter)}
        after = self._reached(found)
        if self._kept_count > KEPT_LIMIT:
            self._sets = {self._first: self._first}
            self._after.clear()
            self._kept_count = 0
        self._kept_count += 1 if after in self._sets else 1 + len(after)
        # One object for equal sets: to compare large ones would take as long as to find them.
        after = self._after[states, letter] = self._sets.setdefault(after, after)
        return after

    def _reached(self, states: set[_State]) -> _States:
        waiting = list(states)
        while waiting:
            for state in self._leaps[waiting.pop()]:
                if state not in states:
                    states.add(state)
                    waiting.append(state)
        return frozenset(states)

    def _new(self) -> _State:
        self._steps.append(None)
        self._leaps.append([])
        return len(self._steps) - 1

    def _choice(self, depth: int) -> tuple[_State, _State]:
        if depth > 20:  # noqa: PLR2004  deeper than anybody nests, less deep than what recursion bears
            raise self._fault("groups are nested too deep")
        begin, end = self._new(), self._new()
        while True:
            first, last = self._sequence(depth)
            self._leaps[begin].append(first)
            self._leaps[last].append(end)
            if self._peek() != "|":
                return begin, end
            self._at += 1

    def _sequence(self, depth: int) -> tuple[_State, _State]:
        begin = end = self._new()
        while self._peek() not in {"", "|", ")"}:
            first, last = self._repeated(*self._one(depth))
            self._leaps[end].append(first)
            end = last
        return begin, end

    def _repeated(self, first: _State, last: _State) -> tuple[_State, _State]:
        if self._peek() not in _REPETITIONS:
            return first, last
        sign = self._next()
        begin, end = self._new(), self._new()
        self._leaps[begin].append(first)
        self._leaps[last].append(end)
        if sign != "?":
            self._leaps[last].append(first)
        if sign != "+":
            self._leaps[begin].append(end)
        if self._peek() == "?":
            self._at += 1  # not greedy: of the whole text that is the same
        if self._peek() in _REPETITIONS:
            raise self._fault("a repetition of a repetition")
        return begin, end

    def _one(self, depth: int) -> tuple[_State, _State]:
        letter = self._next()
        if letter == "(":
            if self._text.startswith("?:", self._at):
                self._at += 2
            found = self._choice(depth + 1)
            if self._peek() != ")":
                raise self._fault("a ( without its )")
            self._at += 1
            return found
        if letter in "*+?{}^$]":
            raise self._fault(f"{letter} is not taken here")
        begin, end = self._new(), self._new()
        self._steps[begin] = (self._test(letter), end)
        return begin, end

    def _test(self, letter: str) -> Test:
        if letter == ".":
            return lambda other: other != "\n"
        if letter == "[":
            return self._set()
        if letter == "\\":
            escaped = self._next()
            if escaped in _CLASSES:
                return _CLASSES[escaped]
            letter = self._escaped(escaped)
        return self._cased(letter.__eq__)

    def _cased(self, test: Test) -> Test:
        if not self._is_any_case:
            return test
        return lambda letter: test(letter) or (letter.isascii() and test(letter.swapcase()))

    def _escaped(self, letter: str) -> str:
        if letter in _SPECIAL or not letter.isalnum():
            return letter
        raise self._fault(f"\\{letter} is not taken")

    def _set(self) -> Test:
        is_negated = self._peek() == "^"
        self._at += is_negated
        ranges: list[tuple[str, str]] = []
        tests: list[Test] = []
        is_first = True
        while self._peek() != "]" or is_first:
            is_first = False
            letter = self._next()
            if letter == "\\":
                letter = self._next()
                if letter in _CLASSES:
                    tests.append(_CLASSES[letter])
                    continue
                letter = self._escaped(letter)
            ranges.append((letter, self._range_end(letter)))
        self._at += 1
        is_within = self._cased(
            lambda other: any(low <= other <= high for low, high in ranges) or any(test(other) for test in tests)
        )
        return lambda other: is_within(other) is not is_negated

    def _range_end(self, letter: str) -> str:
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in {"", "]"}:
            return letter
        self._at += 1
        end = self._next()
        end = self._escaped(self._next()) if end == "\\" else end
        if end < letter:
            raise self._fault(f"the range {letter}-{end} goes backwards")
        return end

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        letter = self._peek()
        if not letter:
            raise self._fault("it ends too early")
        self._at += 1
        return letter

    def _fault(self, what: str) -> QueryError:
        return QueryError(f"regular expression {self._text[:80]!r}, character {self._at}: {what}")
