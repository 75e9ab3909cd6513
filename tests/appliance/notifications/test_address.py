import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.notifications.address import ADDRESS_LIMIT, is_address


@given(st.text())
def test_an_address_is_one_printable_word(text: str) -> None:
    if is_address(text):
        assert text.isascii()
        assert text.isprintable()
        assert not set(text) & set(' <>,;:"()[]\\')
        assert len(text) <= ADDRESS_LIMIT


@given(st.emails(domains=st.sampled_from(["example.com", "mail.example.co.uk"])))
def test_ordinary_addresses_are_taken(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["root@localhost", "ops+pumps@plant.local", "a@b-c.de", "o'neil@example.com"])
def test_addresses_of_a_lan_are_taken(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "maria",
        "@example.com",
        "maria@",
        "maria@@example.com",
        "ma ria@example.com",
        ".maria@example.com",
        "maria.@example.com",
        "maria@-example.com",
        "maria@example..com",
        "maria@example.com\n",
        "maria@example.com\r\nBcc: eve@example.com",
        "Maria <maria@example.com>",
        "maria@example.com,eve@example.com",
        "maría@example.com",
        "=?utf-8?q?=0d=0abcc=3a?=@example.com",
        f"{'x' * 65}@example.com",
        f"maria@{'x' * 64}.com",
        f"maria@{'.'.join(['x' * 60] * 5)}",
    ],
)
def test_what_is_no_single_address_is_refused(text: str) -> None:
    assert not is_address(text)
