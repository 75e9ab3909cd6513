"""Every statement in every `queries.py` names its tenant; those that look at all tenants say why."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUERIES = sorted((ROOT / "appliance").rglob("queries.py"))

_SECRET = "found by what only its bearer knows; the row says whose it is"
_START = "read at the start, whole; the numbers in it belong to sessions, which say whose they are"
_SAYS = "for every tenant alike; the row says whose it is"
_GATEWAY = "a CA of the gateway itself issues for every tenant"
_NUMBERS = "about the numbers that rows will get, which no two tenants share"
_KEYS = "about the greatest key of a file, which tells how far to look"
_DAYS = "about the days of a file, which every tenant's rows share; the rows say whose they are"

OF_ALL_TENANTS = {
    "accounts.select_claim": _SECRET,
    "commands.delete_batches": "age alone decides, for every tenant alike",
    "commands.delete_ended": "age alone decides, for every tenant alike",
    "commands.due": _SAYS,
    "commands.next_number": _NUMBERS,
    "commands.select_next_due": "when, not whose",
    "commands.setting_aside.select_due_keys": _SAYS,
    "commands.jobs.setting_aside.select_due_keys": _SAYS,
    "commands.shift": "the clock is everybody's",
    "accounts.insert_owner": _SECRET,
    "accounts.select_session": _SECRET,
    "accounts.delete_session": _SECRET,
    "accounts.select_token": _SECRET,
    "accounts.select_user": "an e-mail address is one user's among all tenants; the row says whose",
    "commands.jobs.delete_emptied": "age alone decides, for every tenant alike",
    "commands.jobs.delete_ended": "age alone decides, for every tenant alike",
    "commands.jobs.select_next_due": "a moment, and nobody's name",
    "enrolment.codes.select_code": _SECRET,
    "enrolment.delete_overdue": "age alone decides, for every tenant alike",
    "notifications.select_waiting_channels": "which channels have work, not whose",
    "enrolment.renewal.select_due": _SAYS,
    "enrolment.tray._forget_beyond": "its caller binds the tenant in the condition that it gives",
    "ingestion.declaring.select_units": _SAYS,
    "registry.holders.select_certificates_after": _SAYS,
    "registry.own_authorities._refuse_known": "a certificate is one device's among all tenants",
    "registry.own_authorities._refuse_same": "a CA is one tenant's among all: the listeners are everybody's",
    "registry.own_authorities.insert_code": "age alone decides, for every tenant alike",
    "registry.revocation.insert_issuer": _GATEWAY,
    "registry.revocation.select_issuers": _GATEWAY,
    "registry.revocation.select_pems": _SAYS,
    "registry.presence_log.delete_older": "age alone decides, for every tenant alike",
    "sessions._tenants": _START,
    "sessions.select_deliveries": _START,
    "sessions.select_highest_number": _NUMBERS,
    "sessions.select_identifiers": _START,
    "sessions.select_subscriptions": _START,
    "shadows.select_of_retired": _SAYS,
    "stream.select_end": _NUMBERS,
    "telemetry.cold.raise_erasures": _NUMBERS,
    "telemetry.keeping.insert_erasures": _NUMBERS,
    "vitals.select_waiting_count": "counted for the gateway as a whole, and names nobody",
    "telemetry._last_key": _KEYS,
    "telemetry.days._turn_count": _KEYS,
    "telemetry.keeping.erasing._chunks_of": _KEYS,
    "telemetry.prepare_day": "a number is drawn, no row is read",
    "telemetry.raise_log_id": _NUMBERS,
    "telemetry.rollups.reading._around": "about the order of keys in a file, which tells whether pages changed places",
    "telemetry.rollups.reading._require_own_keys": "about the ends of a table, which tell whether pages changed places",
    "telemetry.rollups.close_day": _DAYS,
    "telemetry.rollups.insert_days": _DAYS,
    "telemetry.rollups.insert_hours": _DAYS,
    "telemetry.rollups.reading._progress": _DAYS,
    "telemetry.rollups.update_progress": _DAYS,
    "telemetry.rollups.reading.version_of": "about which tables a file has",
}
"""Functions with a statement that binds no tenant and does not say whose its rows are, each for a reason."""

_BINDS = re.compile(r"tenant_id\s*(=|IS|IN)\s*[?:(]|INSERT (OR \w+ )?INTO \w+\s*\([^)]*tenant_id", re.IGNORECASE)


def _text(node: ast.expr) -> str:
    """The text of a string, whatever is filled in left out."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value) if isinstance(value, ast.Constant) else "…" for value in values)
        case ast.BinOp(left=left, right=right):
            return _text(left) + _text(right)
        case _:
            return ""


def _statements(function: ast.FunctionDef) -> Iterator[str]:
    inner: set[ast.AST] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.JoinedStr | ast.BinOp):
            inner |= set(ast.walk(node)) - {node}
        if node not in inner and isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
            text = _text(node).strip()
            if re.match(r"(SELECT|INSERT|UPDATE|DELETE|WITH|REPLACE)\s", text):
                yield " ".join(text.split())


def _found() -> Iterator[tuple[str, str]]:
    for path in QUERIES:
        room = ".".join(path.relative_to(ROOT / "appliance").parts[:-1])
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef):
                yield from ((f"{room}.{function.name}", statement) for statement in _statements(function))


def _is_whole_and_named(statement: str) -> bool:
    """Whether a statement reads all rows, and each says whose it is: for what is kept in memory by tenant."""
    columns = statement.partition(" FROM ")[0]
    return statement.startswith("SELECT") and "?" not in statement and ("tenant_id" in columns or "…" in columns)


def _is_safe(statement: str) -> bool:
    return bool(_BINDS.search(statement)) or _is_whole_and_named(statement)


STATEMENTS = list(_found())


def test_statements_were_found_in_every_room() -> None:
    rooms = {name.rpartition(".")[0] for name, _ in STATEMENTS}
    assert {"accounts", "alerts", "registry", "registry.tokens", "sessions", "telemetry"} <= rooms


@pytest.mark.parametrize(("name", "statement"), STATEMENTS)
def test_a_statement_binds_its_tenant(name: str, statement: str) -> None:
    assert _is_safe(statement) or name in OF_ALL_TENANTS, f"{name} binds no tenant: {statement}"


def test_no_exception_is_left_that_is_none() -> None:
    without = {name for name, statement in STATEMENTS if not _is_safe(statement)}
    assert set(OF_ALL_TENANTS) - without == set()


@pytest.mark.parametrize(
    ("statement", "is_bound"),
    [
        ("SELECT a FROM b WHERE tenant_id = ?", True),
        ("INSERT INTO a (x, tenant_id) VALUES (?, ?)", True),
        ("SELECT tenant_id, a FROM b", True),
        ("SELECT a FROM b", False),
        ("SELECT tenant_id FROM b WHERE x = ?", False),
        ("DELETE FROM b WHERE x = ?", False),
        ("UPDATE b SET tenant_id_ = 1", False),
    ],
)
def test_a_statement_that_binds_nothing_is_recognised(statement: str, *, is_bound: bool) -> None:
    assert _is_safe(statement) is is_bound
