"""Attempts to sign in that failed, gathered for the audit log: one entry for each address and minute.

Whoever tries passwords must not fill the log, from however many addresses. What was typed for an account that
does not exist is not kept: it may be a password.
"""

import msgspec

from appliance.audit.model import Entry

ADDRESSES_LIMIT = 10
"""Of so many addresses a minute is told one by one; of the others together."""
ACCOUNTS_LIMIT = 5
"""So many accounts are named in an entry."""

OTHERS = "other addresses"


class Refusal(msgspec.Struct, frozen=True):
    """An attempt that failed."""

    address: str
    tenant_id: int | None
    """Of the account; None where there is none of that name, or nobody looked."""
    account: str
    """Empty where there is none of that name, or nobody looked."""
    is_heard: bool
    """Whether the password was looked at; else there had been too many attempts."""


class Attempts(msgspec.Struct, frozen=True):
    """The failed attempts of one address."""

    count: int = 0
    unheard_count: int = 0
    accounts: tuple[str, ...] = ()


Gathered = dict[tuple[int | None, str], Attempts]
"""By the tenant of the accounts, and the address."""


def gather(gathered: Gathered, refusal: Refusal) -> None:
    """Count one more attempt."""
    key = (refusal.tenant_id, refusal.address)
    if key not in gathered and len(gathered) >= ADDRESSES_LIMIT:
        key = (refusal.tenant_id, OTHERS)
    one = Attempts(1, int(not refusal.is_heard), (refusal.account,) if refusal.account else ())
    gathered[key] = together(gathered.get(key), one)


def together(first: Attempts | None, second: Attempts | None) -> Attempts:
    """Attempts and more of them."""
    was, more = first or Attempts(), second or Attempts()
    accounts = tuple(dict.fromkeys([*was.accounts, *more.accounts]))[:ACCOUNTS_LIMIT]
    return Attempts(was.count + more.count, was.unheard_count + more.unheard_count, accounts)


def entry(address: str, attempts: Attempts) -> Entry:
    """What the log is told of the attempts of an address."""
    details = {"count": str(attempts.count), "unheard_count": str(attempts.unheard_count)}
    if attempts.accounts:
        details["accounts"] = ", ".join(attempts.accounts)
    return Entry("user.refuse", address, details, "refused")
