"""What a rule must be like before it is kept. Every refusal says what was expected and what came."""

import math
from enum import StrEnum
from typing import TypeVar

import msgspec

from appliance.alerts.model import NewRule, Operator, Severity
from appliance.errors import ConflictError, InvalidInputError
from appliance.instant import DAY_MS
from appliance.notifications.address import is_address

NAME_LIMIT = 80
METRIC_LIMIT = 128
ZONE_LIMIT = 80
LIST_LIMIT = 50
HOLD_LIMIT_MS = 7 * DAY_MS

_Words = TypeVar("_Words", bound=StrEnum)


class InvalidRuleError(InvalidInputError):
    """The rule cannot be kept as it was asked for."""

    code = "invalid_rule"


class RuleExistsError(ConflictError):
    """The name of the rule is taken."""

    code = "rule_exists"


def check_rule(rule: NewRule) -> NewRule:
    """The rule in its final form: words in their case, surrounding blanks gone, the clear threshold set.

    Raises `InvalidRuleError` for the first thing that is wrong with it.
    """
    operator = _word("operator", rule.operator.upper(), Operator)
    threshold = _number("threshold", rule.threshold)
    clear = threshold if rule.clear_threshold is None else _number("clear_threshold", rule.clear_threshold)
    _check_side(operator, threshold, clear)
    if not 0 <= rule.hold_ms <= HOLD_LIMIT_MS:
        raise InvalidRuleError(f"hold is {rule.hold_ms} ms, expected 0 to {HOLD_LIMIT_MS} ms (7 days)")
    return msgspec.structs.replace(
        rule,
        name=_text("name", rule.name, NAME_LIMIT),
        metric=_text("metric", rule.metric, METRIC_LIMIT),
        operator=operator,
        threshold=threshold,
        clear_threshold=clear,
        severity=_word("severity", rule.severity.lower(), Severity),
        zones=_several("zone", tuple(_text("zone", zone, ZONE_LIMIT) for zone in rule.zones)),
        recipients=_several("recipient", tuple(_address(recipient) for recipient in rule.recipients)),
    )


def _word(key: str, text: str, words: type[_Words]) -> _Words:
    try:
        return words(text)
    except ValueError:
        known = ", ".join(words)
        raise InvalidRuleError(f"{key} is {text!r}, expected one of {known}") from None


def _number(key: str, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidRuleError(f"{key} is {number}, expected a finite number")
    return number


def _check_side(operator: Operator, threshold: float, clear: float) -> None:
    match operator:
        case Operator.GREATER_THAN | Operator.GREATER_OR_EQUAL if clear > threshold:
            raise InvalidRuleError(f"clear_threshold is {clear:g}, expected at most the threshold, {threshold:g}")
        case Operator.LESS_THAN | Operator.LESS_OR_EQUAL if clear < threshold:
            raise InvalidRuleError(f"clear_threshold is {clear:g}, expected at least the threshold, {threshold:g}")
        case _:
            return


def _text(key: str, text: str, limit: int) -> str:
    stripped = text.strip()
    if not 1 <= len(stripped) <= limit:
        raise InvalidRuleError(f"{key} has {len(stripped)} characters, expected 1 to {limit}")
    if not stripped.isprintable():
        raise InvalidRuleError(f"{key} is {stripped!r}, expected text without line breaks or control characters")
    return stripped


def _address(text: str) -> str:
    stripped = text.strip()
    if not is_address(stripped):
        raise InvalidRuleError(f"recipient is {stripped!r}, expected an e-mail address such as maria@example.com")
    return stripped


def _several(key: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(texts) > LIST_LIMIT:
        raise InvalidRuleError(f"{len(texts)} {key}s were given, expected at most {LIST_LIMIT}")
    return tuple(dict.fromkeys(texts))
