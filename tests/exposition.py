"""A strict reader of the text that monitoring systems read, written from the two specifications.

It refuses what a scraper might let pass: a sample without its family, a family twice or in pieces, an order that is not
allowed, a suffix that the kind has not, a label that cannot be, buckets that shrink, a last line that is missing.
"""

import math
import re
from typing import NamedTuple

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
_VALUE = r'"((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{_LABEL}={_VALUE},)*{_LABEL}={_VALUE})\}})? (\S+)")
_PAIR = re.compile(rf"({_LABEL})={_VALUE}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+)|\+Inf|-Inf|NaN")

Labels = frozenset[tuple[str, str]]


class Family(NamedTuple):
    """What was said of one family."""

    kind: str
    told: str
    unit: str
    samples: dict[tuple[str, Labels], float]

    def value(self, suffix: str = "", **labels: str) -> float:
        return self.samples[suffix, frozenset(labels.items())]


def read(text: str, *, is_open_metrics: bool) -> dict[str, Family]:
    """Every family by its name as the text has it. Raises `AssertionError` for whatever is not as it has to be."""
    assert text.endswith("\n"), "the last line has no end"
    lines = text[:-1].split("\n")
    if is_open_metrics:
        assert lines.pop() == "# EOF"
    families: dict[str, Family] = {}
    name, described = "", ""
    for line in lines:
        assert line, "an empty line"
        if line.startswith("# HELP "):
            described, _, told = line[7:].partition(" ")
            assert described not in families, f"{described} is described twice"
            families[described] = Family("", told, "", {})
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == described, f"{name} comes after {described}"
            families[name] = families[name]._replace(kind=kind)
        elif line.startswith("# UNIT "):
            named, unit = line[7:].split(" ")
            assert is_open_metrics
            assert named == name
            assert name.endswith(f"_{unit}")
            families[name] = families[name]._replace(unit=unit)
        else:
            _take(families[name], name, line, is_open_metrics=is_open_metrics)
    for named, family in families.items():
        _check(named, family)
    return families


def _take(family: Family, name: str, line: str, *, is_open_metrics: bool) -> None:
    found = _SAMPLE.fullmatch(line)
    assert found, f"no sample: {line}"
    named, pairs, number = found[1], found[2], found[5]
    assert named.startswith(name), f"{named} stands below {name}"
    suffix = named.removeprefix(name)
    assert suffix in _suffixes(family.kind, is_open_metrics=is_open_metrics), f"{named} is no {family.kind}"
    told = [(label, _plain(value)) for label, value in _PAIR.findall(pairs or "")]
    assert len(dict(told)) == len(told), f"a label twice: {line}"
    assert _NUMBER.fullmatch(number), f"no number: {line}"
    key = (suffix, frozenset(told))
    assert key not in family.samples, f"twice: {line}"
    family.samples[key] = float(number)
    if is_open_metrics and suffix == "_bucket":
        bound = dict(told)["le"]
        assert bound == "+Inf" or repr(float(bound)) == bound, f"not canonical: {bound}"


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def _suffixes(kind: str, *, is_open_metrics: bool) -> set[str]:
    known = {"histogram": {"_bucket", "_sum", "_count"}, "gauge": {""}}
    known["counter"] = {"_total"} if is_open_metrics else {""}
    if is_open_metrics:
        known["info"] = {"_info"}
    assert kind in known, f"no kind: {kind}"
    return known[kind]


def _check(name: str, family: Family) -> None:
    assert family.samples, f"{name} has no samples"
    if family.kind == "counter":
        assert all(value >= 0 for value in family.samples.values())
    if family.kind != "histogram":
        return
    for labels in {labels for suffix, labels in family.samples if suffix == "_count"}:
        buckets = sorted(
            (float(dict(each)["le"]), value)
            for (suffix, each), value in family.samples.items()
            if suffix == "_bucket" and frozenset(pair for pair in each if pair[0] != "le") == labels
        )
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), f"{name} shrinks"
        assert buckets[-1] == (math.inf, family.samples["_count", labels])
        assert family.samples["_sum", labels] >= 0
