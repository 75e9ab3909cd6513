"""Failed attempts to sign in, as the audit log is told of them: all are counted, in few entries."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.accounts.refusals import (
    ACCOUNTS_LIMIT,
    ADDRESSES_LIMIT,
    OTHERS,
    Attempts,
    Gathered,
    Refusal,
    entry,
    gather,
    together,
)

REFUSALS = st.lists(
    st.builds(
        Refusal,
        st.integers(0, 40).map(lambda number: f"192.0.2.{number}"),
        st.sampled_from([None, 1, 2]),
        st.sampled_from(["", *(f"{name}@example.org" for name in "abcdefgh")]),
        st.booleans(),
    ),
    max_size=100,
)
ATTEMPTS = st.builds(Attempts, st.integers(0, 9), st.integers(0, 9), st.just(()) | st.just(("a",)) | st.just(("b",)))


@given(refusals=REFUSALS)
def test_every_attempt_is_counted_once_and_entries_are_few_and_short(refusals: list[Refusal]) -> None:
    gathered: Gathered = {}
    for refusal in refusals:
        gather(gathered, refusal)
    assert sum(attempts.count for attempts in gathered.values()) == len(refusals)
    unheard = [refusal for refusal in refusals if not refusal.is_heard]
    assert sum(attempts.unheard_count for attempts in gathered.values()) == len(unheard)
    tenants = {refusal.tenant_id for refusal in refusals}
    assert len(gathered) <= ADDRESSES_LIMIT + len(tenants)
    for (tenant_id, address), attempts in gathered.items():
        own = [one for one in refusals if one.tenant_id == tenant_id and address in (one.address, OTHERS)]
        assert attempts.count <= len(own)
        assert len(attempts.accounts) <= ACCOUNTS_LIMIT
        assert set(attempts.accounts) <= {one.account for one in own} - {""}


@given(first=ATTEMPTS, second=ATTEMPTS)
def test_attempts_add_up(first: Attempts, second: Attempts) -> None:
    both = together(first, second)
    assert (both.count, both.unheard_count) == (
        first.count + second.count,
        first.unheard_count + second.unheard_count,
    )
    assert set(both.accounts) == {*first.accounts, *second.accounts}
    assert together(None, first) == together(first, None) == first


def test_the_entry_names_the_address_the_counts_and_accounts_that_exist() -> None:
    told = entry("192.0.2.7", Attempts(7, 2, ("ada@example.org", "bob@example.org")))
    assert (told.action, told.subject, told.result) == ("user.refuse", "192.0.2.7", "refused")
    assert told.details == {"count": "7", "unheard_count": "2", "accounts": "ada@example.org, bob@example.org"}
    assert "accounts" not in entry("192.0.2.7", Attempts(1)).details
