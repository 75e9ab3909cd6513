"""The rules of a type for its metrics as people write them: a line each, `pressure = number, 0 to 60, reject`."""

import re
from collections.abc import Mapping

from appliance.errors import InvalidInputError
from appliance.registry.catalogue.model import MetricKind, MetricRule, Violation

_NUMBER = r"[-+]?\d{1,300}(?:\.\d{1,300})?(?:[eE][-+]?\d{1,3})?"
_RANGE = re.compile(rf"(?P<least>{_NUMBER}) to (?P<greatest>{_NUMBER})")
_FROM = re.compile(rf"from (?P<least>{_NUMBER})")
_UP_TO = re.compile(rf"up to (?P<greatest>{_NUMBER})")
_KINDS = {kind.value: kind for kind in MetricKind}
_VIOLATIONS = {violation.value: violation for violation in Violation}


def lines_of(rules: Mapping[str, MetricRule]) -> str:
    """The rules as lines."""
    return "\n".join(f"{metric} = {written(rule)}" for metric, rule in rules.items())


def written(rule: MetricRule) -> str:
    """One rule, without its metric."""
    words = [] if rule.kind is MetricKind.ANY else [rule.kind.value]
    least, greatest = _shortest(rule.least), _shortest(rule.greatest)
    if least and greatest:
        words.append(f"{least} to {greatest}")
    elif least:
        words.append(f"from {least}")
    elif greatest:
        words.append(f"up to {greatest}")
    return ", ".join([*words, rule.violation.value])


def rules_in(text: str) -> dict[str, MetricRule]:
    """What `lines_of` has written, or somebody by hand. Raises `InvalidInputError`."""
    rules = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        # The name of a metric may hold `=`; what is said of it does not.
        metric, sign, told = line.rpartition("=")
        if not sign or not metric.strip():
            raise InvalidInputError(
                f"{line[:80]!r} is not understood: expected a metric, `=`, and for example `number, 0 to 60, reject`"
            )
        rules[metric.strip()] = _rule(line, told)
    return rules


def _shortest(bound: float | None) -> str:
    return "" if bound is None else repr(float(bound)).removesuffix(".0")


def _rule(line: str, told: str) -> MetricRule:
    kind, violation = MetricKind.ANY, Violation.FLAG
    bounds: dict[str, float] = {}
    for word in filter(None, (word.strip() for word in told.split(","))):
        if word in _KINDS:
            kind = _KINDS[word]
        elif word in _VIOLATIONS:
            violation = _VIOLATIONS[word]
        elif found := _RANGE.fullmatch(word) or _FROM.fullmatch(word) or _UP_TO.fullmatch(word):
            bounds = {name: float(number) for name, number in found.groupdict().items()}
        else:
            raise InvalidInputError(
                f"{word[:40]!r} in {line[:80]!r} is not understood: expected one of {', '.join(_KINDS)}, a range"
                " such as `0 to 60`, `from 0` or `up to 60`, and one of keep, flag, reject"
            )
    return MetricRule(kind, bounds.get("least"), bounds.get("greatest"), violation)
