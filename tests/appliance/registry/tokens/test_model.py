import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.registry.tokens import model
from appliance.registry.tokens.model import Shown, is_token, parsed, written

secrets = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


@given(st.integers(0, 10**18 - 1), secrets)
def test_what_is_written_is_read_back(number: int, secret: str) -> None:
    text = written(number, secret).encode()
    assert is_token(text)
    assert parsed(text) == Shown(number, secret.encode())


@given(st.binary(max_size=100))
def test_no_bytes_break_the_reading(password: bytes) -> None:
    shown = parsed(password)
    assert shown is None or password.endswith(shown.secret)


@pytest.mark.parametrize(
    "text", ["", "hwd_", "hwd_1", "hwd_1.", "hwd_.a", "hwd_1.a ", "hwd_1.a\n", "hw_1.a", "hwd_x.a", "hwd_1." + "a" * 65]
)
def test_what_is_not_whole_is_no_token(text: str) -> None:
    assert parsed(text.encode()) is None


def test_only_what_begins_like_one_is_meant_as_a_token() -> None:
    assert [is_token(each) for each in (None, b"", b"hw_1.x", b"secret", b"hwd_", b"hwd_1.x")] == [False] * 4 + [
        True
    ] * 2


def test_a_name_is_kept_without_blanks_around_it() -> None:
    assert model.checked_name("  old pump ") == "old pump"
    for name in ("", "  ", "a" * 101):
        with pytest.raises(InvalidInputError, match="1 to 100"):
            model.checked_name(name)


def test_a_lifetime_has_bounds() -> None:
    assert model.checked_lifetime(3_650) == 3_650
    for days in (0, -1, 3_651):
        with pytest.raises(InvalidInputError, match="days"):
            model.checked_lifetime(days)
