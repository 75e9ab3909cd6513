"""What enrolment by claim asks of gateway.db, and what it writes there."""

import sqlite3
from collections.abc import Sequence

import msgspec

from appliance.enrolment import provisioning
from appliance.enrolment.model import (
    CLAIMS_LIMIT,
    DEFAULT_TEMPLATE,
    PENDING_LIMIT,
    TEMPLATES_LIMIT,
    TOKEN_LIFE_MS,
    Claim,
    Enrolled,
    Fault,
    NewClaim,
    PendingCertificate,
    RejectedError,
    StoredTemplate,
    TemplateExistsError,
    TemplateInUseError,
    TooManyClaimsError,
    UnknownClaimError,
    UnknownTemplateError,
)
from appliance.policies import queries as policy_queries
from appliance.policies.model import InvalidPolicyError, UnknownPolicyError
from appliance.registry import queries as registry_queries
from appliance.registry.clock.trust import Reading
from appliance.registry.model import Certificate, Device, IssuedCertificate, NewDevice, check_new_device
from appliance.registry.tokens.model import DeviceToken
from appliance.store.database import Select

_CLAIM = """
    SELECT tenant_id, claim_number, name, template, serial_pattern,
        (SELECT COUNT(*) FROM claim_serial
            WHERE claim_serial.tenant_id = enrolment_claim.tenant_id
            AND claim_serial.claim_number = enrolment_claim.claim_number),
        use_limit, use_count, fingerprint, created_at, expires_at, revoked_at
    FROM enrolment_claim
"""
_PENDING = "fingerprint, claim_number, client_id, token_hash, serial, issued_at, expires_at, pem"


class Provisioned(msgspec.Struct, frozen=True):
    """What a transaction wrote."""

    claim: Claim
    device: Device
    kept: IssuedCertificate
    enrolled: Enrolled
    before: Device | None
    """The device as it was; None when it was not registered."""


def select_all_claims() -> Select[Claim]:
    """Every claim of every tenant."""
    return Select(f"{_CLAIM} ORDER BY claim_number", (), Claim)


def select_all_templates() -> Select[StoredTemplate]:
    """Every provisioning template of every tenant."""
    sql = "SELECT tenant_id, name, body, created_at FROM provisioning_template ORDER BY tenant_id, name"
    return Select(sql, (), StoredTemplate)


def insert_claim(connection: sqlite3.Connection, tenant_id: int, new: NewClaim, fingerprint: str, now: int) -> Claim:
    """Add a claim. Raises `TooManyClaimsError`, and `UnknownTemplateError` for a template that is gone."""
    sql = """
        SELECT COUNT(*) FROM enrolment_claim
        WHERE tenant_id = ? AND revoked_at IS NULL AND expires_at > ? AND use_count < use_limit
    """
    if connection.execute(sql, (tenant_id, now)).fetchone()[0] >= CLAIMS_LIMIT:
        raise TooManyClaimsError(f"there are {CLAIMS_LIMIT} claims that are good: revoke one first")
    sql = "SELECT 1 FROM provisioning_template WHERE tenant_id = ? AND name = ?"
    if new.template != DEFAULT_TEMPLATE and not connection.execute(sql, (tenant_id, new.template)).fetchone():
        raise UnknownTemplateError(f"there is no provisioning template {new.template[:40]!r}")
    sql = """
        INSERT INTO enrolment_claim
            (tenant_id, name, template, serial_pattern, use_limit, fingerprint, created_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING claim_number
    """
    values = (tenant_id, new.name, new.template, new.serial_pattern, new.use_limit, fingerprint, now, new.expires_at)
    [(claim_number,)] = connection.execute(sql, values).fetchall()
    connection.executemany(
        "INSERT INTO claim_serial (tenant_id, claim_number, serial_number) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(tenant_id, claim_number, serial) for serial in new.serials],
    )
    return select_claim(connection, tenant_id, claim_number)


def update_revoked(connection: sqlite3.Connection, tenant_id: int, claim_number: int, now: int) -> Claim:
    """Mark a claim as revoked and forget the certificates that wait on it. Raises `UnknownClaimError`."""
    sql = """
        UPDATE enrolment_claim SET revoked_at = COALESCE(revoked_at, ?) WHERE tenant_id = ? AND claim_number = ?
    """
    connection.execute(sql, (now, tenant_id, claim_number))
    sql = "DELETE FROM pending_certificate WHERE tenant_id = ? AND claim_number = ?"
    connection.execute(sql, (tenant_id, claim_number))
    return select_claim(connection, tenant_id, claim_number)


def update_used(connection: sqlite3.Connection, tenant_id: int, claim_number: int) -> Claim:
    """Count one more use of a claim. Raises `UnknownClaimError`."""
    sql = "UPDATE enrolment_claim SET use_count = use_count + 1 WHERE tenant_id = ? AND claim_number = ?"
    connection.execute(sql, (tenant_id, claim_number))
    return select_claim(connection, tenant_id, claim_number)


def select_claim(connection: sqlite3.Connection, tenant_id: int, claim_number: int) -> Claim:
    """A claim as it is inside this transaction. Raises `UnknownClaimError`."""
    sql = f"{_CLAIM} WHERE tenant_id = ? AND claim_number = ?"
    row = connection.execute(sql, (tenant_id, claim_number)).fetchone()
    if row is None:
        raise UnknownClaimError(f"there is no claim {claim_number}")
    return Claim(*row)


def select_listed(
    connection: sqlite3.Connection, tenant_id: int, claim_number: int, serial_number: str
) -> dict[str, str]:
    """The serial number, if a claim lists it, and the device that has used it, if one has."""
    sql = """
        SELECT serial_number, device_id FROM claim_serial
        WHERE tenant_id = ? AND claim_number = ? AND serial_number = ?
    """
    return dict(connection.execute(sql, (tenant_id, claim_number, serial_number)))


def update_listed(
    connection: sqlite3.Connection, tenant_id: int, claim_number: int, serial_number: str, device_id: str
) -> None:
    """Mark a serial number as used by a device, if the claim lists it."""
    sql = """
        UPDATE claim_serial SET device_id = ? WHERE tenant_id = ? AND claim_number = ? AND serial_number = ?
    """
    connection.execute(sql, (device_id, tenant_id, claim_number, serial_number))


def insert_pending(connection: sqlite3.Connection, tenant_id: int, pending: PendingCertificate) -> None:
    """Keep a certificate that waits to be provisioned. Raises `RejectedError` when too many do."""
    delete_overdue(connection, pending.issued_at)
    sql = "SELECT COUNT(*) FROM pending_certificate WHERE tenant_id = ? AND claim_number = ?"
    if connection.execute(sql, (tenant_id, pending.claim_number)).fetchone()[0] >= PENDING_LIMIT:
        raise RejectedError(
            Fault.THROTTLED, f"{PENDING_LIMIT} certificates of this claim wait to be provisioned: try again in an hour"
        )
    sql = f"INSERT INTO pending_certificate (tenant_id, {_PENDING}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    connection.execute(sql, (tenant_id, *msgspec.structs.astuple(pending)))


def select_pending(connection: sqlite3.Connection, tenant_id: int, token_hash: str) -> PendingCertificate | None:
    """The certificate that waits for this token; None when there is none."""
    sql = f"SELECT {_PENDING} FROM pending_certificate WHERE tenant_id = ? AND token_hash = ?"
    row = connection.execute(sql, (tenant_id, token_hash)).fetchone()
    return None if row is None else PendingCertificate(*row)


def delete_pending(connection: sqlite3.Connection, tenant_id: int, fingerprint: str) -> None:
    """Let a certificate wait no more."""
    sql = "DELETE FROM pending_certificate WHERE tenant_id = ? AND fingerprint = ?"
    connection.execute(sql, (tenant_id, fingerprint))


def delete_overdue(connection: sqlite3.Connection, now: int) -> int:
    """Forget the certificates of every tenant that nobody provisioned in time; how many those were."""
    sql = "DELETE FROM pending_certificate WHERE issued_at <= ?"
    return connection.execute(sql, (now - TOKEN_LIFE_MS,)).rowcount


def select_certificates_of(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> list[Certificate]:
    """The certificates of a device as they are inside this transaction."""
    sql = """
        SELECT fingerprint, serial, issued_at, expires_at, revoked_at
        FROM certificate JOIN device USING (tenant_id, device_number)
        WHERE tenant_id = ? AND device_id = ?
    """
    return [Certificate(*row) for row in connection.execute(sql, (tenant_id, device_id))]


def select_tokens_of(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> list[DeviceToken]:
    """The tokens of a device as they are inside this transaction."""
    sql = """
        SELECT token_number, device_token.name, device_token.created_at, expires_at, used_at, used_from, revoked_at
        FROM device_token JOIN device USING (tenant_id, device_number)
        WHERE tenant_id = ? AND device_id = ?
    """
    return [DeviceToken(*row) for row in connection.execute(sql, (tenant_id, device_id))]


def update_device(connection: sqlite3.Connection, tenant_id: int, new: NewDevice) -> None:
    """Write what a template made of a device that was registered already."""
    sql = """
        UPDATE device SET name = ?, type = ?, zone = ?, serial_number = ?, state = ?, groups = ?, attributes = ?
        WHERE tenant_id = ? AND device_id = ?
    """
    groups = msgspec.json.encode(sorted(set(new.groups))).decode()
    attributes = msgspec.json.encode(dict(sorted(new.attributes.items()))).decode()
    told = (new.name, new.type, new.zone, new.serial_number, new.state.value, groups, attributes)
    connection.execute(sql, (*told, tenant_id, new.device_id))


def bind(
    connection: sqlite3.Connection,
    claim: Claim,
    enrolled: Enrolled,
    pending: PendingCertificate,
    now: int,
    clock: Reading,
) -> Provisioned:
    """Register the device, or find it, and bind the certificate to it. Raises `RejectedError`."""
    tenant_id, device_id = claim.tenant_id, check_new_device(enrolled.new).device_id
    known = None
    if not registry_queries.insert_devices(connection, tenant_id, [enrolled.new], now):
        known = registry_queries.select_device(connection, tenant_id, device_id)
        certificates = select_certificates_of(connection, tenant_id, device_id)
        tokens = select_tokens_of(connection, tenant_id, device_id)
        reason = provisioning.identity_refusal(known, certificates, tokens, clock)
        if reason:
            raise RejectedError(Fault.CONFLICT, reason)
        update_device(connection, tenant_id, check_new_device(provisioning.merged(known, enrolled)))
    kept = provisioning.bound(pending, device_id)
    registry_queries.insert_certificates(connection, tenant_id, [kept])
    _attach(connection, tenant_id, enrolled)
    device = registry_queries.select_device(connection, tenant_id, device_id)
    used = update_used(connection, tenant_id, claim.claim_number)
    return Provisioned(used, device, kept, enrolled, known)


def _attach(connection: sqlite3.Connection, tenant_id: int, enrolled: Enrolled) -> None:
    for name in enrolled.policies:
        try:
            policy_queries.insert_target_device(connection, tenant_id, name, enrolled.new.device_id)
        except (UnknownPolicyError, InvalidPolicyError) as error:
            reason = f"the template attaches a policy that cannot be attached: {error}"
            raise RejectedError(Fault.INVALID_PARAMETERS, reason) from error


def insert_template(connection: sqlite3.Connection, template: StoredTemplate) -> None:
    """Add a template. Raises `TemplateExistsError`, `TooManyClaimsError`."""
    sql = "SELECT name FROM provisioning_template WHERE tenant_id = ?"
    names: Sequence[str] = [row[0] for row in connection.execute(sql, (template.tenant_id,))]
    if template.name in (*names, DEFAULT_TEMPLATE):
        raise TemplateExistsError(f"there is already a template {template.name!r}: templates do not change")
    if len(names) >= TEMPLATES_LIMIT:
        raise TooManyClaimsError(f"there are {TEMPLATES_LIMIT} templates: remove one first")
    sql = "INSERT INTO provisioning_template (tenant_id, name, body, created_at) VALUES (?, ?, ?, ?)"
    connection.execute(sql, msgspec.structs.astuple(template))


def delete_template(connection: sqlite3.Connection, tenant_id: int, name: str, now: int) -> None:
    """Remove a template. Raises `UnknownTemplateError`, and `TemplateInUseError` while a good claim names it."""
    sql = """
        SELECT name FROM enrolment_claim WHERE tenant_id = ? AND template = ? AND revoked_at IS NULL
            AND expires_at > ? AND use_count < use_limit
    """
    user = connection.execute(sql, (tenant_id, name, now)).fetchone()
    if user is not None:
        raise TemplateInUseError(f"the claim {user[0]!r} names the template {name!r}: revoke it first")
    sql = "DELETE FROM provisioning_template WHERE tenant_id = ? AND name = ?"
    if not connection.execute(sql, (tenant_id, name)).rowcount:
        raise UnknownTemplateError(f"there is no provisioning template {name[:40]!r} of your own")
