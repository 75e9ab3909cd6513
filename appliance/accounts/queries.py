"""What accounts ask of gateway.db, and what they write there.

A claim, a session and a token are found by what only their bearer knows; the row then says whose
tenant it is of, and everything after names that tenant.
"""

import sqlite3
from typing import Any

from appliance.accounts.model import (
    Claim,
    EmailTakenError,
    OwnerExistsError,
    Role,
    Session,
    SpentClaimError,
    Token,
    TokenWithSecret,
    UnknownClaimError,
    UnknownTokenError,
    User,
    UserWithPassword,
)
from appliance.accounts.session import Lifetime
from appliance.store.database import Select


def select_owners(tenant_id: int) -> Select[int]:
    """The numbers of the tenant's owners."""
    return Select("SELECT user_id FROM user WHERE tenant_id = ? AND role = 'owner'", (tenant_id,), int)


def select_claim(claim_hash: str) -> Select[Claim]:
    """The claim with this hash."""
    return Select("SELECT tenant_id, expires_at, used_at FROM claim WHERE claim_hash = ?", (claim_hash,), Claim)


def insert_claim(connection: sqlite3.Connection, tenant_id: int, claim_hash: str, now: int, expires_at: int) -> None:
    """Put a claim in the place of an unused older one. Raises `OwnerExistsError`."""
    _refuse_owned(connection, tenant_id)
    connection.execute("DELETE FROM claim WHERE tenant_id = ? AND used_at IS NULL", (tenant_id,))
    sql = "INSERT INTO claim (claim_hash, tenant_id, created_at, expires_at) VALUES (?, ?, ?, ?)"
    connection.execute(sql, (claim_hash, tenant_id, now, expires_at))


def insert_owner(
    connection: sqlite3.Connection, claim_hash: str, email: str, password_hash: str, session_hash: str, now: int
) -> User:
    """Spend the claim, make the tenant's owner and open a session, all or nothing.

    Raises `UnknownClaimError`, `SpentClaimError`, `OwnerExistsError`, `EmailTakenError`.
    """
    row = connection.execute("SELECT tenant_id FROM claim WHERE claim_hash = ?", (claim_hash,)).fetchone()
    if row is None:
        raise UnknownClaimError("this claim link is not known: a newer one may have been printed")
    (tenant_id,) = row
    sql = """
        UPDATE claim SET used_at = ? WHERE tenant_id = ? AND claim_hash = ? AND used_at IS NULL AND expires_at > ?
    """
    if connection.execute(sql, (now, tenant_id, claim_hash, now)).rowcount != 1:
        raise SpentClaimError("this claim link has been used, or is too old")
    _refuse_owned(connection, tenant_id)
    user_id = _insert_user(connection, tenant_id, email, password_hash, now)
    insert_session(connection, tenant_id, user_id, session_hash, now)
    return User(user_id, tenant_id, email, Role.OWNER)


def select_user(email: str) -> Select[UserWithPassword]:
    """The user with this e-mail address, which is theirs alone among all tenants."""
    sql = "SELECT user_id, tenant_id, email, role, password_hash FROM user WHERE email = ?"
    return Select(sql, (email,), _user_with_password)


def update_password_hash(connection: sqlite3.Connection, tenant_id: int, user_id: int, password_hash: str) -> None:
    """Keep the password of a user in a newer form."""
    sql = "UPDATE user SET password_hash = ? WHERE tenant_id = ? AND user_id = ?"
    connection.execute(sql, (password_hash, tenant_id, user_id))


def insert_session(connection: sqlite3.Connection, tenant_id: int, user_id: int, session_hash: str, now: int) -> None:
    """Open a session."""
    sql = "INSERT INTO web_session (session_hash, tenant_id, user_id, created_at, seen_at) VALUES (?, ?, ?, ?, ?)"
    connection.execute(sql, (session_hash, tenant_id, user_id, now, now))


def select_session(session_hash: str) -> Select[Session]:
    """The session with this hash, with its user as they are now."""
    sql = """
        SELECT user.user_id, tenant_id, user.email, user.role, web_session.created_at, web_session.seen_at
        FROM web_session JOIN user USING (tenant_id, user_id)
        WHERE session_hash = ?
    """
    return Select(sql, (session_hash,), _session)


def update_session_seen(connection: sqlite3.Connection, tenant_id: int, session_hash: str, now: int) -> None:
    """Note that a session was used."""
    sql = "UPDATE web_session SET seen_at = ? WHERE tenant_id = ? AND session_hash = ?"
    connection.execute(sql, (now, tenant_id, session_hash))


def delete_session(connection: sqlite3.Connection, session_hash: str) -> None:
    """End a session, whosever tenant it is of; one that is gone stays so."""
    connection.execute("DELETE FROM web_session WHERE session_hash = ? AND tenant_id IS NOT NULL", (session_hash,))


def open_session(connection: sqlite3.Connection, user: User, session_hash: str, lifetime: Lifetime, now: int) -> None:
    """Open a session of a user, and forget those of the tenant that have ended."""
    sql = "DELETE FROM web_session WHERE tenant_id = ? AND (created_at <= ? OR seen_at <= ?)"
    connection.execute(sql, (user.tenant_id, lifetime.earliest_created_at(now), lifetime.earliest_seen_at(now)))
    insert_session(connection, user.tenant_id, user.user_id, session_hash, now)


def insert_token(
    connection: sqlite3.Connection,
    tenant_id: int,
    name: str,
    secret_hash: str,
    now: int,
    role: Role = Role.OPERATOR,
) -> int:
    """Add a token; gives its number."""
    sql = """
        INSERT INTO token (tenant_id, name, secret_hash, created_at, role) VALUES (?, ?, ?, ?, ?) RETURNING token_id
    """
    [(token_id,)] = connection.execute(sql, (tenant_id, name, secret_hash, now, role.value)).fetchall()
    return int(token_id)


def select_token(token_id: int) -> Select[TokenWithSecret]:
    """The token of this number, which no other tenant's has."""
    sql = "SELECT token_id, tenant_id, name, created_at, revoked_at, role, secret_hash FROM token WHERE token_id = ?"
    return Select(sql, (token_id,), _token_with_secret)


def select_tokens(tenant_id: int) -> Select[Token]:
    """The tokens of a tenant, newest first, revoked ones too."""
    sql = """
        SELECT token_id, tenant_id, name, created_at, revoked_at, role FROM token
        WHERE tenant_id = ? ORDER BY token_id DESC
    """
    return Select(sql, (tenant_id,), _token)


def update_token_revoked(connection: sqlite3.Connection, tenant_id: int, token_id: int, now: int) -> str:
    """Let a token open nothing any more; gives its name. Raises `UnknownTokenError`."""
    sql = "UPDATE token SET revoked_at = COALESCE(revoked_at, ?) WHERE tenant_id = ? AND token_id = ? RETURNING name"
    rows = connection.execute(sql, (now, tenant_id, token_id)).fetchall()
    if not rows:
        raise UnknownTokenError(f"there is no token {token_id}")
    return str(rows[0][0])


def _refuse_owned(connection: sqlite3.Connection, tenant_id: int) -> None:
    sql = "SELECT COUNT(*) FROM user WHERE tenant_id = ? AND role = 'owner'"
    (count,) = connection.execute(sql, (tenant_id,)).fetchone()
    if count:
        raise OwnerExistsError("this gateway has an owner already: sign in instead")


def _insert_user(connection: sqlite3.Connection, tenant_id: int, email: str, password_hash: str, now: int) -> int:
    sql = """
        INSERT INTO user (tenant_id, email, role, password_hash, created_at) VALUES (?, ?, 'owner', ?, ?)
        ON CONFLICT (email) DO NOTHING RETURNING user_id
    """
    rows = connection.execute(sql, (tenant_id, email, password_hash, now)).fetchall()
    if not rows:
        raise EmailTakenError(f"{email} is another user's")
    return int(rows[0][0])


def _user_with_password(user_id: int, tenant_id: int, email: str, role: str, password_hash: str) -> UserWithPassword:
    return UserWithPassword(User(user_id, tenant_id, email, Role(role)), password_hash)


def _session(user_id: int, tenant_id: int, email: str, role: str, created_at: int, seen_at: int) -> Session:
    return Session(User(user_id, tenant_id, email, Role(role)), created_at, seen_at)


def _token(token_id: int, tenant_id: int, name: str, created_at: int, revoked_at: int | None, role: str) -> Token:
    return Token(token_id, tenant_id, name, created_at, revoked_at, Role(role))


def _token_with_secret(*columns: Any) -> TokenWithSecret:
    *token, secret_hash = columns
    return TokenWithSecret(_token(*token), secret_hash)
