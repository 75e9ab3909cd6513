"""What CAs of a tenant's own ask of gateway.db, and what they write there."""

import sqlite3
from collections.abc import Sequence

import msgspec

from appliance.registry import queries as registry_queries
from appliance.registry.model import Certificate, Device, DeviceExistsError, DeviceState, IssuedCertificate, NewDevice
from appliance.registry.own_authorities import reading
from appliance.registry.own_authorities.model import (
    AUTHORITIES_LIMIT,
    CODE_LIFE_MS,
    CODES_LIMIT,
    DAY_LENGTH_MS,
    WAITING_LIMIT,
    AuthorityExistsError,
    CertificateState,
    InvalidAuthorityError,
    Leaf,
    Mode,
    NewAuthority,
    OwnAuthority,
    OwnCertificate,
    OwnCertificateRefusedError,
    Settings,
    UnknownAuthorityError,
    UnknownOwnCertificateError,
)
from appliance.registry.revocation import queries as revocation_queries
from appliance.store.database import Select

_AUTHORITY = (
    "tenant_id, authority_number, fingerprint, issuer_key, subject, pem, mode, template, daily_limit,"
    " registered_at, expires_at"
)
_CERTIFICATE = (
    "tenant_id, certificate_number, authority_number, issuer_key, fingerprint, serial, subject, common_name,"
    " serial_number, expires_at, address, seen_at, state, decided_at, device_id"
)


class Seen(msgspec.Struct, frozen=True):
    """A certificate at its first connection."""

    authority: OwnAuthority
    leaf: Leaf
    address: str
    seen_at: int


class TakenIn(msgspec.Struct, frozen=True):
    """What a transaction made of a certificate."""

    certificate: OwnCertificate
    device: Device | None = None
    kept: IssuedCertificate | None = None


def select_authorities() -> Select[OwnAuthority]:
    """The CAs of every tenant that were not removed."""
    sql = f"SELECT {_AUTHORITY} FROM own_authority WHERE removed_at IS NULL ORDER BY authority_number"
    return Select(sql, (), _authority)


def select_certificates() -> Select[OwnCertificate]:
    """Every certificate of such CAs, of every tenant and whatever became of it, removed CAs too."""
    return Select(f"SELECT {_CERTIFICATE} FROM own_certificate ORDER BY certificate_number", (), _certificate)


def insert_code(connection: sqlite3.Connection, tenant_id: int, code_hash: str, now: int) -> None:
    """Keep a registration code, and forget those that are over or too many."""
    connection.execute("DELETE FROM own_authority_code WHERE expires_at <= ?", (now,))
    sql = "INSERT INTO own_authority_code (code_hash, tenant_id, expires_at) VALUES (?, ?, ?)"
    connection.execute(sql, (code_hash, tenant_id, now + CODE_LIFE_MS))
    sql = """
        DELETE FROM own_authority_code WHERE tenant_id = ? AND code_hash IN (
            SELECT code_hash FROM own_authority_code WHERE tenant_id = ? ORDER BY expires_at DESC LIMIT -1 OFFSET ?
        )
    """
    connection.execute(sql, (tenant_id, tenant_id, CODES_LIMIT))


def insert_authority(
    connection: sqlite3.Connection, tenant_id: int, new: NewAuthority, settings: Settings, code_hash: str, now: int
) -> OwnAuthority:
    """Register a CA and use the code up. Raises `InvalidAuthorityError`, `AuthorityExistsError`."""
    sql = "DELETE FROM own_authority_code WHERE tenant_id = ? AND code_hash = ? AND expires_at > ?"
    if connection.execute(sql, (tenant_id, code_hash, now)).rowcount != 1:
        raise InvalidAuthorityError(
            "the common name of the proof is not a registration code of this gateway that is good: ask for a new one"
        )
    _refuse_same(connection, new)
    sql = "SELECT COUNT(*) FROM own_authority WHERE tenant_id = ? AND removed_at IS NULL"
    if connection.execute(sql, (tenant_id,)).fetchone()[0] >= AUTHORITIES_LIMIT:
        raise AuthorityExistsError(f"there are {AUTHORITIES_LIMIT} CAs: remove one first")
    sql = f"""
        INSERT INTO own_authority (tenant_id, fingerprint, issuer_key, subject, pem, mode, template, daily_limit,
            registered_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_AUTHORITY}
    """
    told = (new.fingerprint, new.issuer_key, new.subject, new.pem)
    decided = (settings.mode.value, settings.template, settings.daily_limit)
    [row] = connection.execute(sql, (tenant_id, *told, *decided, now, new.expires_at)).fetchall()
    return _authority(*row)


def _refuse_same(connection: sqlite3.Connection, new: NewAuthority) -> None:
    # Of every tenant: where a certificate does not name the key that has signed it, a handshake takes the first CA of
    # that name, and the devices of all others are shut out. Only who has a code learns which names are taken.
    sql = "SELECT issuer_key, pem FROM own_authority WHERE removed_at IS NULL"
    name = reading.compared(reading.subject_of(new.pem))
    for issuer_key, pem in connection.execute(sql):
        if issuer_key == new.issuer_key or reading.compared(reading.subject_of(pem)) == name:
            raise AuthorityExistsError(
                f"this CA, or another one called {new.subject}, is registered at this gateway already: a certificate"
                " may name its CA by that alone, so that a second one needs another name"
            )


def update_settings(
    connection: sqlite3.Connection, tenant_id: int, authority_number: int, settings: Settings
) -> OwnAuthority:
    """Change what becomes of the certificates of a CA. Raises `UnknownAuthorityError`."""
    sql = f"""
        UPDATE own_authority SET mode = ?, template = ?, daily_limit = ?
        WHERE tenant_id = ? AND authority_number = ? AND removed_at IS NULL RETURNING {_AUTHORITY}
    """
    values = (settings.mode.value, settings.template, settings.daily_limit, tenant_id, authority_number)
    rows = connection.execute(sql, values).fetchall()
    if not rows:
        raise UnknownAuthorityError(f"there is no CA {authority_number}")
    return _authority(*rows[0])


def remove_authority(
    connection: sqlite3.Connection, tenant_id: int, authority_number: int, now: int
) -> list[tuple[str, Certificate]]:
    """Remove a CA and revoke all of its certificates, and what was renewed with them; gives those that were good.

    Raises `UnknownAuthorityError`.
    """
    sql = """
        UPDATE own_authority SET removed_at = ?, mode = 'inactive'
        WHERE tenant_id = ? AND authority_number = ? AND removed_at IS NULL
    """
    if connection.execute(sql, (now, tenant_id, authority_number)).rowcount != 1:
        raise UnknownAuthorityError(f"there is no CA {authority_number}")
    sql = """
        UPDATE own_certificate SET state = 'refused', decided_at = ?
        WHERE tenant_id = ? AND authority_number = ? AND state = 'waiting'
    """
    connection.execute(sql, (now, tenant_id, authority_number))
    sql = "SELECT fingerprint FROM own_certificate WHERE tenant_id = ? AND authority_number = ? AND state = 'bound'"
    bound = [fingerprint for (fingerprint,) in connection.execute(sql, (tenant_id, authority_number))]
    revoked = revocation_queries.revoke_lineages(connection, tenant_id, bound, now)
    return [(one.device_id, one.certificate) for one in revoked]


def take_in(connection: sqlite3.Connection, seen: Seen, new: NewDevice, now: int) -> TakenIn:
    """Take a certificate in that was never seen: as that of a new device, or to wait for a person.

    Raises `OwnCertificateRefusedError`.
    """
    authority = select_authority(connection, seen.authority.tenant_id, seen.authority.authority_number)
    tenant_id, mode = authority.tenant_id, authority.settings.mode
    if mode is Mode.INACTIVE:
        raise OwnCertificateRefusedError("its CA was switched off a moment ago")
    _refuse_known(connection, authority, seen.leaf)
    _refuse_flood(connection, authority, seen.seen_at)
    if mode is Mode.REGISTER or _has_device(connection, tenant_id, new.device_id):
        return TakenIn(_insert(connection, seen, CertificateState.WAITING, new.device_id))
    kept = _kept(seen.leaf, new.device_id, now)
    registry_queries.insert_devices(connection, tenant_id, [new], now)
    registry_queries.insert_certificates(connection, tenant_id, [kept])
    certificate = _insert(connection, seen, CertificateState.BOUND, new.device_id)
    return TakenIn(certificate, registry_queries.select_device(connection, tenant_id, new.device_id), kept)


def accept(connection: sqlite3.Connection, certificate: OwnCertificate, new: NewDevice, now: int) -> TakenIn:
    """Bind a certificate to a new device. Raises `DeviceExistsError`, `UnknownOwnCertificateError`."""
    tenant_id, device_id = certificate.tenant_id, new.device_id
    if not registry_queries.insert_devices(connection, tenant_id, [new], now):
        raise DeviceExistsError(f"{device_id} is registered: choose another device id, or say that this is that device")
    return _accepted(connection, certificate, device_id, now)


def accept_for(connection: sqlite3.Connection, certificate: OwnCertificate, new: NewDevice, now: int) -> TakenIn:
    """Bind a certificate to a device that is registered. Raises `UnknownDeviceError`, and as `accept` does."""
    device_id = new.device_id
    device = registry_queries.select_device(connection, certificate.tenant_id, device_id)
    if device.state in (DeviceState.SUSPENDED, DeviceState.RETIRED):
        raise OwnCertificateRefusedError(f"{device_id} is {device.state}")
    if device.state is DeviceState.PENDING:
        registry_queries.update_state(connection, certificate.tenant_id, device_id, DeviceState.ACTIVE)
    return _accepted(connection, certificate, device_id, now)


def update_refused(connection: sqlite3.Connection, tenant_id: int, certificate_number: int, now: int) -> OwnCertificate:
    """Let nobody in by a certificate that waits. Raises `UnknownOwnCertificateError`."""
    return _decide(connection, tenant_id, certificate_number, CertificateState.REFUSED, "", now)


def update_reconsidered(connection: sqlite3.Connection, tenant_id: int, certificate_number: int) -> OwnCertificate:
    """Let a refused certificate wait again. Raises `UnknownOwnCertificateError`, `OwnCertificateRefusedError`."""
    sql = f"""
        UPDATE own_certificate SET state = 'waiting', decided_at = NULL
        WHERE tenant_id = ? AND certificate_number = ? AND state = 'refused' RETURNING {_CERTIFICATE}
    """
    rows = connection.execute(sql, (tenant_id, certificate_number)).fetchall()
    if not rows:
        raise UnknownOwnCertificateError("no certificate of that number was refused: reload the page")
    certificate = _certificate(*rows[0])
    select_authority(connection, tenant_id, certificate.authority_number)
    return certificate


def select_authority(connection: sqlite3.Connection, tenant_id: int, authority_number: int) -> OwnAuthority:
    """A CA as it is inside this transaction. Raises `OwnCertificateRefusedError` when it was removed."""
    sql = f"""
        SELECT {_AUTHORITY} FROM own_authority WHERE tenant_id = ? AND authority_number = ? AND removed_at IS NULL
    """
    rows: Sequence[tuple[object, ...]] = connection.execute(sql, (tenant_id, authority_number)).fetchall()
    if not rows:
        raise OwnCertificateRefusedError("its CA was removed a moment ago")
    return _authority(*rows[0])


def _accepted(connection: sqlite3.Connection, certificate: OwnCertificate, device_id: str, now: int) -> TakenIn:
    tenant_id = certificate.tenant_id
    select_authority(connection, tenant_id, certificate.authority_number)
    known = Certificate(certificate.fingerprint, certificate.serial, now, certificate.expires_at)
    decided = _decide(connection, tenant_id, certificate.certificate_number, CertificateState.BOUND, device_id, now)
    sql = "SELECT pem FROM own_certificate WHERE tenant_id = ? AND certificate_number = ?"
    [(pem,)] = connection.execute(sql, (tenant_id, certificate.certificate_number)).fetchall()
    kept = IssuedCertificate(device_id, known, pem)
    registry_queries.insert_certificates(connection, tenant_id, [kept])
    return TakenIn(decided, registry_queries.select_device(connection, tenant_id, device_id), kept)


def _decide(
    connection: sqlite3.Connection,
    tenant_id: int,
    certificate_number: int,
    state: CertificateState,
    device_id: str,
    now: int,
) -> OwnCertificate:
    """What waits is decided once: who accepts has not seen that somebody else refused, and may not be one who may."""
    sql = f"""
        UPDATE own_certificate SET state = ?, decided_at = ?, device_id = CASE ? WHEN '' THEN device_id ELSE ? END
        WHERE tenant_id = ? AND certificate_number = ? AND state = 'waiting' RETURNING {_CERTIFICATE}
    """
    values = (state.value, now, device_id, device_id, tenant_id, certificate_number)
    rows = connection.execute(sql, values).fetchall()
    if not rows:
        raise UnknownOwnCertificateError(
            "no certificate of that number waits: reload the page; one that was refused waits again once an operator"
            " says so"
        )
    return _certificate(*rows[0])


def _refuse_known(connection: sqlite3.Connection, authority: OwnAuthority, leaf: Leaf) -> None:
    # By its serial number too: a signature on an elliptic curve can be turned into another one that is as good,
    # and would give a revoked certificate a fingerprint that nobody knows.
    sql = "SELECT 1 FROM own_certificate WHERE tenant_id = ? AND issuer_key = ? AND serial = ?"
    known = connection.execute(sql, (authority.tenant_id, authority.issuer_key, leaf.serial)).fetchone()
    # Of any tenant: a fingerprint is one device's.
    sql = "SELECT 1 FROM certificate WHERE fingerprint = ?"
    if known is not None or connection.execute(sql, (leaf.fingerprint,)).fetchone() is not None:
        raise OwnCertificateRefusedError(
            f"a certificate of its CA with the serial number {leaf.serial} was seen here before, and counts once"
        )


def _refuse_flood(connection: sqlite3.Connection, authority: OwnAuthority, now: int) -> None:
    number, limit = authority.authority_number, authority.settings.daily_limit
    sql = "SELECT COUNT(*) FROM own_certificate WHERE tenant_id = ? AND authority_number = ? AND seen_at > ?"
    if connection.execute(sql, (authority.tenant_id, number, now - DAY_LENGTH_MS)).fetchone()[0] >= limit:
        raise OwnCertificateRefusedError(
            f"{limit} certificates of its CA came within a day, and the CA is set to take no more"
        )
    sql = "SELECT COUNT(*) FROM own_certificate WHERE tenant_id = ? AND authority_number = ? AND state = 'waiting'"
    if connection.execute(sql, (authority.tenant_id, number)).fetchone()[0] >= WAITING_LIMIT:
        raise OwnCertificateRefusedError(
            f"{WAITING_LIMIT} certificates of its CA wait to be accepted: decide on those first"
        )


def _has_device(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> bool:
    sql = "SELECT 1 FROM device WHERE tenant_id = ? AND device_id = ?"
    return connection.execute(sql, (tenant_id, device_id)).fetchone() is not None


def _kept(leaf: Leaf, device_id: str, now: int) -> IssuedCertificate:
    # From now on, whatever it says itself: when a CA elsewhere has issued it proves nothing about our clock.
    return IssuedCertificate(device_id, Certificate(leaf.fingerprint, leaf.serial, now, leaf.expires_at), leaf.pem)


def _insert(connection: sqlite3.Connection, seen: Seen, state: CertificateState, device_id: str) -> OwnCertificate:
    leaf, authority = seen.leaf, seen.authority
    sql = f"""
        INSERT INTO own_certificate (tenant_id, authority_number, issuer_key, fingerprint, serial, subject, common_name,
            serial_number, expires_at, pem, address, seen_at, state, decided_at, device_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_CERTIFICATE}
    """
    whose = (authority.tenant_id, authority.authority_number, authority.issuer_key)
    told = (leaf.fingerprint, leaf.serial, leaf.subject, leaf.common_name, leaf.serial_number, leaf.expires_at)
    decided_at = seen.seen_at if state is CertificateState.BOUND else None
    values = (*whose, *told, leaf.pem, seen.address, seen.seen_at, state.value, decided_at, device_id)
    [row] = connection.execute(sql, values).fetchall()
    return _certificate(*row)


def _authority(*row: object) -> OwnAuthority:
    mode, template, daily_limit = row[6:9]
    settings = Settings(Mode(str(mode)), template, daily_limit)  # type: ignore[arg-type]  # as the columns are
    return OwnAuthority(*row[:6], settings, *row[9:])  # type: ignore[arg-type, call-arg]  # as the columns are


def _certificate(*row: object) -> OwnCertificate:
    return OwnCertificate(*row[:12], CertificateState(str(row[12])), *row[13:])  # type: ignore[arg-type, call-arg]  # too
