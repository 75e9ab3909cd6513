"""What enrolment by claim writes, and whose it stays."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.enrolment import queries
from appliance.enrolment.model import (
    CLAIMS_LIMIT,
    PENDING_LIMIT,
    TEMPLATES_LIMIT,
    TOKEN_LIFE_MS,
    NewClaim,
    PendingCertificate,
    RejectedError,
    StoredTemplate,
    TemplateInUseError,
    TooManyClaimsError,
    UnknownClaimError,
    UnknownTemplateError,
)
from appliance.instant import DAY_MS
from tests.appliance.enrolment.examples import NOW
from tests.appliance.store.tables import up_to_date

NEW = NewClaim("line 4", "device", NOW + DAY_MS, 2, "", ("a", "b", "a"))
PENDING = PendingCertificate("f1", 1, "station-1", "t1", "1f", NOW, NOW + DAY_MS, "PEM")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
    up_to_date(connection)
    # In one transaction, which a thousand rows then share.
    connection.execute("BEGIN")
    connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")
    yield connection
    connection.close()


def test_a_claim_is_kept_with_its_list_and_counted(connection: sqlite3.Connection) -> None:
    claim = queries.insert_claim(connection, 1, NEW, "f", NOW)
    assert (claim.claim_number, claim.serial_count, claim.use_count) == (1, 2, 0)
    assert queries.select_listed(connection, 1, 1, "a") == {"a": ""}
    assert queries.select_listed(connection, 1, 1, "c") == {}
    assert queries.select_listed(connection, 2, 1, "a") == {}
    queries.update_listed(connection, 2, 1, "a", "pump-8")
    queries.update_listed(connection, 1, 1, "a", "pump-7")
    assert queries.select_listed(connection, 1, 1, "a") == {"a": "pump-7"}
    assert queries.select_listed(connection, 1, 1, "b") == {"b": ""}
    assert queries.update_used(connection, 1, 1).use_count == 1
    assert queries.update_revoked(connection, 1, 1, NOW).revoked_at == NOW
    assert queries.update_revoked(connection, 1, 1, NOW + 1).revoked_at == NOW


def test_a_claim_belongs_to_its_tenant(connection: sqlite3.Connection) -> None:
    queries.insert_claim(connection, 1, NEW, "f", NOW)
    with pytest.raises(UnknownClaimError):
        queries.select_claim(connection, 2, 1)
    with pytest.raises(UnknownClaimError):
        queries.update_revoked(connection, 2, 1, NOW)
    with pytest.raises(UnknownClaimError):
        queries.update_used(connection, 2, 1)
    assert queries.select_claim(connection, 1, 1).revoked_at is None


def test_there_are_only_so_many_good_claims(connection: sqlite3.Connection) -> None:
    for number in range(CLAIMS_LIMIT):
        queries.insert_claim(connection, 1, NEW, f"f{number}", NOW)
    with pytest.raises(TooManyClaimsError):
        queries.insert_claim(connection, 1, NEW, "f", NOW)
    queries.insert_claim(connection, 2, NEW, "f", NOW)
    queries.update_revoked(connection, 1, 1, NOW)
    queries.insert_claim(connection, 1, NEW, "g", NOW)


def test_a_waiting_certificate_is_found_by_its_token_until_it_is_overdue(connection: sqlite3.Connection) -> None:
    queries.insert_claim(connection, 1, NEW, "f", NOW)
    queries.insert_pending(connection, 1, PENDING)
    assert queries.select_pending(connection, 1, "t1") == PENDING
    assert queries.select_pending(connection, 2, "t1") is None
    assert queries.delete_overdue(connection, NOW + TOKEN_LIFE_MS - 1) == 0
    assert queries.delete_overdue(connection, NOW + TOKEN_LIFE_MS) == 1
    assert queries.select_pending(connection, 1, "t1") is None


def test_revoking_a_claim_and_using_a_token_forget_what_waits(connection: sqlite3.Connection) -> None:
    queries.insert_claim(connection, 1, NEW, "f", NOW)
    queries.insert_pending(connection, 1, PENDING)
    queries.delete_pending(connection, 2, "f1")
    assert queries.select_pending(connection, 1, "t1")
    queries.delete_pending(connection, 1, "f1")
    assert queries.select_pending(connection, 1, "t1") is None
    queries.insert_pending(connection, 1, PENDING)
    queries.update_revoked(connection, 1, 1, NOW)
    assert queries.select_pending(connection, 1, "t1") is None


def test_only_so_many_certificates_wait(connection: sqlite3.Connection) -> None:
    queries.insert_claim(connection, 1, NEW, "f", NOW)
    for number in range(PENDING_LIMIT):
        one = msgspec.structs.replace(PENDING, fingerprint=f"f{number}", token_hash=f"t{number}")
        queries.insert_pending(connection, 1, one)
    more = msgspec.structs.replace(PENDING, fingerprint="more", token_hash="more")
    with pytest.raises(RejectedError, match="wait to be provisioned"):
        queries.insert_pending(connection, 1, more)
    queries.insert_pending(connection, 1, msgspec.structs.replace(more, issued_at=NOW + TOKEN_LIFE_MS))


def test_a_template_is_removed_by_its_tenant_when_no_good_claim_names_it(connection: sqlite3.Connection) -> None:
    queries.insert_template(connection, StoredTemplate(1, "pumps", "{}", NOW))
    with pytest.raises(UnknownTemplateError):
        queries.insert_claim(connection, 2, msgspec.structs.replace(NEW, template="pumps"), "g", NOW)
    queries.insert_claim(connection, 1, msgspec.structs.replace(NEW, template="pumps"), "f", NOW)
    with pytest.raises(TemplateInUseError):
        queries.delete_template(connection, 1, "pumps", NOW)
    with pytest.raises(UnknownTemplateError):
        queries.delete_template(connection, 2, "pumps", NOW)
    queries.delete_template(connection, 1, "pumps", NOW + DAY_MS)


def test_there_are_only_so_many_templates(connection: sqlite3.Connection) -> None:
    for number in range(TEMPLATES_LIMIT):
        queries.insert_template(connection, StoredTemplate(1, f"t{number}", "{}", NOW))
    with pytest.raises(TooManyClaimsError):
        queries.insert_template(connection, StoredTemplate(1, "one-more", "{}", NOW))
