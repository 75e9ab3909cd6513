import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import HOUR_MS, MINUTE_MS
from appliance.telemetry.promql.lexer import LENGTH_LIMIT, Kind, length_ms, number, unquoted, words
from appliance.telemetry.promql.model import QueryError


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        found = list(words(text))
    except QueryError:
        return
    assert [word.kind for word in found if word.kind is Kind.END] == [Kind.END]


def test_words_are_told_apart() -> None:
    found = [(word.kind, word.text) for word in words('a:b{x!~"y\\"z"}[1h30m] # said\n* 0x1F + .5e3 - Inf')]
    assert found == [
        (Kind.NAME, "a:b"),
        (Kind.SIGN, "{"),
        (Kind.NAME, "x"),
        (Kind.SIGN, "!~"),
        (Kind.TEXT, '"y\\"z"'),
        (Kind.SIGN, "}"),
        (Kind.SIGN, "["),
        (Kind.LENGTH, "1h30m"),
        (Kind.SIGN, "]"),
        (Kind.SIGN, "*"),
        (Kind.NUMBER, "0x1F"),
        (Kind.SIGN, "+"),
        (Kind.NUMBER, ".5e3"),
        (Kind.SIGN, "-"),
        (Kind.NUMBER, "Inf"),
        (Kind.END, ""),
    ]
    with pytest.raises(QueryError, match="1:3"):
        list(words("a ;"))
    with pytest.raises(QueryError):
        list(words(" " * (LENGTH_LIMIT + 1)))


def test_lengths_of_time_are_read() -> None:
    assert length_ms("1h30m") == HOUR_MS + 30 * MINUTE_MS
    assert length_ms("500ms") == 500
    for text in ("", "5", "m", "5m3", "0s", "999999y"):
        with pytest.raises(QueryError):
            length_ms(text)


def test_numbers_and_texts_are_read() -> None:
    assert (number("0x10"), number("1e3"), number("Inf")) == (16.0, 1000.0, float("inf"))
    assert unquoted('"a\\n\\"\\u00e9\\x41\\101"') == 'a\n"éAA'
    assert unquoted("`a\\n`") == "a\\n"
    for text in ("0x" + "f" * 400, "0x8000000000000000"):
        with pytest.raises(QueryError, match="too large"):
            number(text)
    for text in ('"\\q"', '"\\U7fffffff"', '"\\ud800"'):
        with pytest.raises(QueryError):
            unquoted(text)
