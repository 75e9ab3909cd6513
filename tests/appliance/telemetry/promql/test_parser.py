import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.asking.model import Aggregate
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
from appliance.telemetry.promql.parser import NAME, parsed, selector_of

FLOW = Selector((Matcher(NAME, MatchKind.EQUAL, "flow"),))
PIECES = [
    "flow",
    "sum",
    "by",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "5m",
    "1",
    "+",
    "-",
    "^",
    '"a"',
    "zone",
    "=~",
    "=",
    ",",
    "offset",
    "avg_over_time",
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("1+1", Counted(Sign.ADD, Number(1), Number(1))),
        ("flow", FLOW),
        ("flow offset 1d", Selector(FLOW.matchers, DAY_MS)),
        ("flow offset -1h", Selector(FLOW.matchers, -HOUR_MS)),
        (
            'flow{zone="a",device_id=~"p.*",}',
            Selector(
                (
                    *FLOW.matchers,
                    Matcher("zone", MatchKind.EQUAL, "a"),
                    Matcher("device_id", MatchKind.MATCHES, "p.*"),
                )
            ),
        ),
        ('{__name__="flow"}', FLOW),
        ("avg_over_time(flow[5m])", OverTime("avg_over_time", Aggregate.AVG, FLOW, 5 * MINUTE_MS)),
        ("sum(flow)", Aggregated(Over.SUM, FLOW)),
        ("sum by (zone, type) (flow)", Aggregated(Over.SUM, FLOW, ("zone", "type"))),
        ("max(flow) without (zone)", Aggregated(Over.MAX, FLOW, ("zone",), is_without=True)),
        (
            "-flow * 2 ^ 3 ^ 2",
            Counted(
                Sign.MULTIPLY,
                Counted(Sign.MULTIPLY, Number(-1), FLOW),
                Counted(Sign.POWER, Number(2), Counted(Sign.POWER, Number(3), Number(2))),
            ),
        ),
        (
            "(1 - 2) - 3 * 4",
            Counted(
                Sign.SUBTRACT,
                Counted(Sign.SUBTRACT, Number(1), Number(2)),
                Counted(Sign.MULTIPLY, Number(3), Number(4)),
            ),
        ),
        ("-2 ^ 2", Counted(Sign.MULTIPLY, Number(-1), Counted(Sign.POWER, Number(2), Number(2)))),
    ],
)
def test_a_query_is_read_as_prometheus_reads_it(query: str, expected: Expression) -> None:
    assert parsed(query) == expected


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "the end"),
        ("rate(flow[5m])", "rate is not answered here"),
        ("flow[5m]", "makes a range"),
        ("flow > 5", "'>' is not answered"),
        ("flow + flow", "between two series"),
        ("flow and flow", "'and' is not answered"),
        ("sum(1)", "not of a number"),
        ("avg_over_time(flow)", "stands where \\["),
        ("avg_over_time(flow[5m:1m])", "stands where \\]"),
        ("topk(5, flow)", "topk is not answered"),
        ("flow @ 5", "'@' is not answered"),
        ('{zone=""}', "at least"),
        ('{zone=~".*"}', "at least"),
        ('{zone!="a"}', "at least"),
        ('flow{zone=~"("}', "regular expression"),
        ("flow{zone}", "none of"),
        ("flow{zone=a}", "no text"),
        ("(" * 60 + "1" + ")" * 60, "too deep"),
        ("flow 5", "is not answered"),
        ("1" + "+1" * 1_500 + "+flow", "operation too many"),
        ("flow" + "+(1+1)" * 900, "operation too many"),
        ("sum(" * 45 + "-" * 4 + "flow + 1 + 1" + ")" * 45, "operation too many"),
        ("0x" + "f" * 400, "too large"),
    ],
)
def test_what_is_not_answered_is_said(query: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        parsed(query)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join))
def test_no_query_raises_anything_else(query: str) -> None:
    try:
        parsed(query)
    except QueryError as error:
        assert str(error)  # noqa: PT017  that nothing else is raised is what is looked at


def test_a_selector_stands_alone_in_a_match() -> None:
    assert selector_of("flow") == FLOW
    for query in ("1", "sum(flow)", "flow offset 5m"):
        with pytest.raises(QueryError):
            selector_of(query)
