"""Which e-mail addresses are accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.accounts.model import InvalidEmailError, canonical_email


@given(email=st.emails())
def test_an_address_is_kept_in_lower_case_and_stays_so(email: str) -> None:
    kept = canonical_email(f" {email} ")
    assert kept == email.lower()
    assert canonical_email(kept) == kept


@pytest.mark.parametrize(
    "text", ["", "ada", "@", "a@", "@b", "a b@c", "a@b@c", "a@b\nBcc: c@d", "a\0@b", "a@" + "x" * 300]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidEmailError):
        canonical_email(text)
