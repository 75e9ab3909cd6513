"""From the text of a query to what it asks. The subset is told in docs/reference/grafana.md."""

from collections.abc import Mapping

from appliance.telemetry.asking.model import Aggregate
from appliance.telemetry.promql.lexer import Kind, Word, length_ms, number, unquoted, words
from appliance.telemetry.promql.model import (
    Aggregated,
    Counted,
    Expression,
    Matcher,
    MatchKind,
    Number,
    Over,
    OverTime,
    QueryError,
    Selector,
    Sign,
)
from appliance.telemetry.promql.pattern import Pattern

NAME = "__name__"
DEPTH_LIMIT = 50
OPERATIONS_LIMIT = 50
"""So many operations a query has at most: each is counted for every step of every series."""

FUNCTIONS: Mapping[str, Aggregate] = {
    "avg_over_time": Aggregate.AVG,
    "min_over_time": Aggregate.MIN,
    "max_over_time": Aggregate.MAX,
    "sum_over_time": Aggregate.SUM,
    "count_over_time": Aggregate.COUNT,
    "last_over_time": Aggregate.LAST,
    "first_over_time": Aggregate.FIRST,
    "stddev_over_time": Aggregate.STDDEV,
}
_RANKS: Mapping[str, int] = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 4}
_UNARY_RANK = 3


def parsed(query: str) -> Expression:
    """What a query asks. Raises `QueryError`, with the place and the reason."""
    parser = _Parser(query)
    found = parser.expression(0)
    parser.end()
    return found


def selector_of(query: str) -> Selector:
    """A selector alone, as `match[]` has it. Raises `QueryError`."""
    found = parsed(query)
    if not isinstance(found, Selector) or found.offset_ms:
        raise QueryError(f"{query[:80]!r} is not a series selector")
    return found


class _Parser:
    def __init__(self, query: str) -> None:
        self._words = list(words(query))
        self._place = 0
        self._depth = 0
        self._operation_count = 0

    def expression(self, rank: int) -> Expression:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise self._fault("is nested too deep")
        found = self._operand()
        while self._word.kind is Kind.SIGN and _RANKS.get(self._word.text, -1) >= max(rank, 1):
            self._operate()
            sign = Sign(self._next().text)
            # A power binds to the right.
            right = self.expression(_RANKS[sign] + (sign is not Sign.POWER))
            if not isinstance(found, Number) and not isinstance(right, Number) and _is_series(found, right):
                raise QueryError(
                    f"parse error: {sign.value} between two series is not answered here: one side must be a number"
                )
            found = Counted(sign, found, right)
        self._depth -= 1
        return found

    def end(self) -> None:
        if self._word.kind is not Kind.END:
            raise self._fault("is not answered here")

    def _operand(self) -> Expression:
        word = self._word
        if word.kind is Kind.NUMBER:
            return Number(number(self._next().text))
        if self._takes("("):
            found = self.expression(0)
            self._must("(", ")")
            return found
        if word.text in {"-", "+"} and word.kind is Kind.SIGN:
            self._operate()
            self._next()
            inner = self.expression(_UNARY_RANK)
            return inner if word.text == "+" else Counted(Sign.MULTIPLY, Number(-1.0), inner)
        if word.kind is Kind.NAME and word.text in list(Over):
            return self._aggregated()
        if word.kind is Kind.NAME and self._words[self._place + 1].text == "(":
            return self._call()
        if word.kind is Kind.NAME or word.text == "{":
            return self._selector(is_ranged=False)[0]
        raise self._fault("is not expected here")

    def _operate(self) -> None:
        self._operation_count += 1
        if self._operation_count > OPERATIONS_LIMIT:
            raise self._fault(f"is one operation too many: at most {OPERATIONS_LIMIT} are taken")

    def _aggregated(self) -> Expression:
        self._operate()
        over = Over(self._next().text)
        grouping = self._grouping()
        self._must("", "(")
        inner = self.expression(0)
        self._must("(", ")")
        if not _is_series(inner, inner):
            raise QueryError(f"parse error: {over.value} is of series, and not of a number")
        labels, is_without = grouping or self._grouping() or ((), False)
        return Aggregated(over, inner, labels, is_without)

    def _grouping(self) -> tuple[tuple[str, ...], bool] | None:
        if self._word.text not in {"by", "without"}:
            return None
        is_without = self._next().text == "without"
        self._must("", "(")
        labels = []
        while not self._takes(")"):
            labels.append(self._any(Kind.NAME, "is no label"))
            if self._word.text != ")":
                self._must("", ",")
        return tuple(labels), is_without

    def _call(self) -> Expression:
        word = self._next()
        if word.text not in FUNCTIONS:
            known = ", ".join([*FUNCTIONS, *Over])
            raise QueryError(f"1:{word.at + 1}: parse error: {word.text[:40]} is not answered here; known are {known}")
        self._must("", "(")
        selector, window_ms = self._selector(is_ranged=True)
        self._must("(", ")")
        return OverTime(word.text, FUNCTIONS[word.text], selector, window_ms)

    def _selector(self, *, is_ranged: bool) -> tuple[Selector, int]:
        matchers: list[Matcher] = []
        if self._word.kind is Kind.NAME:
            matchers.append(Matcher(NAME, MatchKind.EQUAL, self._next().text))
        if self._takes("{"):
            matchers += self._matchers()
        if not any(_chooses(matcher) for matcher in matchers):
            raise QueryError("parse error: a selector needs one matcher at least that does not match the empty text")
        window_ms = 0
        if self._word.text == "[" and not is_ranged:
            raise self._fault("makes a range, which only functions such as avg_over_time take")
        if is_ranged:
            self._must("", "[")
            window_ms = self._length()
            self._must("[", "]")
        offset_ms = 0
        if self._word.text == "offset" and self._word.kind is Kind.NAME:
            self._next()
            sign = -1 if self._takes("-") else 1
            offset_ms = sign * self._length()
        return Selector(tuple(matchers), offset_ms), window_ms

    def _matchers(self) -> list[Matcher]:
        found: list[Matcher] = []
        while not self._takes("}"):
            label = self._any(Kind.NAME, "is no label")
            if self._word.text not in list(MatchKind):
                raise self._fault("is none of = != =~ !~")
            kind = MatchKind(self._next().text)
            text = unquoted(self._any(Kind.TEXT, "is no text in quotes"))
            if kind in {MatchKind.MATCHES, MatchKind.MATCHES_NOT}:
                Pattern(text)
            found.append(Matcher(label, kind, text))
            if self._word.text != "}":
                self._must("{", ",")
        return found

    def _length(self) -> int:
        return length_ms(self._any(Kind.LENGTH, "is no length of time such as 5m"))

    def _any(self, kind: Kind, complaint: str) -> str:
        if self._word.kind is not kind:
            raise self._fault(complaint)
        return self._next().text

    @property
    def _word(self) -> Word:
        return self._words[self._place]

    def _next(self) -> Word:
        word = self._word
        self._place += 1
        return word

    def _takes(self, sign: str) -> bool:
        if self._word.kind is Kind.SIGN and self._word.text == sign:
            self._place += 1
            return True
        return False

    def _must(self, after: str, sign: str) -> None:
        if not self._takes(sign):
            raise self._fault(f"stands where {sign} is expected" + (f" for its {after}" if after else ""))

    def _fault(self, what: str) -> QueryError:
        shown = repr(self._word.text[:40]) if self._word.text else "the end"
        return QueryError(f"1:{self._word.at + 1}: parse error: {shown} {what}")


def _is_series(left: Expression, right: Expression) -> bool:
    return not _is_number(left) and not _is_number(right)


def _is_number(expression: Expression) -> bool:
    match expression:
        case Number():
            return True
        case Counted():
            return _is_number(expression.left) and _is_number(expression.right)
        case _:
            return False


def _chooses(matcher: Matcher) -> bool:
    """Whether a series without the label would not be chosen."""
    match matcher.kind:
        case MatchKind.EQUAL:
            return matcher.text != ""
        case MatchKind.NOT_EQUAL:
            return matcher.text == ""
        case MatchKind.MATCHES:
            return not Pattern(matcher.text).matches("")
        case MatchKind.MATCHES_NOT:
            return Pattern(matcher.text).matches("")
