"""Which passwords are good enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.accounts.model import WeakPasswordError
from appliance.accounts.password import LEAST_LENGTH, MOST_LENGTH, check, is_guessed_first, prepared

EMAIL = "ada.lovelace@example.org"
FULL_WIDTH = 0xFEE0
"""How far the wide form of a letter, as on Japanese keyboards, lies from the narrow one."""


@given(password=st.text(max_size=LEAST_LENGTH - 1))
def test_a_short_password_never_passes(password: str) -> None:
    with pytest.raises(WeakPasswordError, match="at least 12"):
        check(password, EMAIL)


@given(password=st.text(min_size=1, max_size=30), email=st.emails())
def test_any_text_is_judged_and_can_be_hashed(password: str, email: str) -> None:
    assert is_guessed_first(password, email) in (True, False)
    assert isinstance(prepared(password), bytes)


@given(password=st.text(min_size=LEAST_LENGTH, max_size=60), word=st.text(min_size=1, max_size=6))
def test_a_short_word_over_and_over_never_passes(password: str, word: str) -> None:
    with pytest.raises(WeakPasswordError):
        check(word * LEAST_LENGTH, EMAIL)


@given(password=st.text(max_size=LEAST_LENGTH - 1, min_size=4))
def test_a_refusal_does_not_repeat_the_password(password: str) -> None:
    with pytest.raises(WeakPasswordError) as refusal:
        check("~" + password[1:], EMAIL)
    assert "~" not in str(refusal.value)


@pytest.mark.parametrize(
    "password",
    [
        *("password1234", "Password1234!", "passwordpassword", "PasswordPassword1", "administrator", "raspberrypi123"),
        *("aaaaaaaaaaaa", "121212121212", "abcabcabcabc", "123456789012", "abcdefghijkl", "qwertyuiopas"),
        *(
            "zyxwvutsrqpo",
            "0987654321098",
            "1qaz2wsx3edc",
            "headworks2026",
            "ada.lovelace@example.org",
            "ada.lovelace12",
        ),
        *(
            "correcthorsebatterystaple",
            "".join(chr(ord(letter) + FULL_WIDTH) for letter in "password1234"),
            "letmein!!!!!!",
            "PASSWORD 2026",
        ),
    ],
)
def test_what_every_guesser_begins_with_is_refused(password: str) -> None:
    with pytest.raises(WeakPasswordError, match="first that are guessed"):
        check(password, EMAIL)


@pytest.mark.parametrize(
    "password",
    [
        "tide lamp forty",
        "ÆØÅ over the hills",
        "x7Kq!mP2vR9w",
        "nur ein langer Satz",
        "password of my boat",
        "日本語のパスワードは長い",
    ],
)
def test_a_long_password_passes_whatever_it_is_made_of(password: str) -> None:
    check(password, EMAIL)


def test_a_password_that_only_costs_is_refused() -> None:
    good = "tide lamp forty "
    check((good + "x" * MOST_LENGTH)[:MOST_LENGTH], EMAIL)
    with pytest.raises(WeakPasswordError, match="at most 512"):
        check(good + "x" * MOST_LENGTH, EMAIL)


def test_two_keyboards_write_one_password() -> None:
    assert prepared("caf\u00e9") == prepared("cafe\u0301")


def test_half_of_a_surrogate_pair_is_a_password_like_any_other() -> None:
    assert prepared("\ud800") != prepared("?")
