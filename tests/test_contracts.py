"""The import contracts and the purity bans hold, and each of them notices when it is broken.

A contract that cannot fail is worth nothing, so a copy of the tree gets one violation of every kind,
and the tools must name each of them.
"""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("appliance", "broker", "web", "firmware_store")
PURE = "appliance/alerts/planted.py"

# contract, file that gets the import, what it imports
IMPORTS = [
    ("The house: rooms look downwards only", "appliance/gateway.py", "web.planted"),
    ("The house: rooms look downwards only", "broker/planted.py", "web.planted"),
    ("appliance: every room has its floor", PURE, "appliance.telemetry.planted"),
    ("appliance: every room has its floor", "appliance/registry/planted.py", "appliance.accounts.planted"),
    ("appliance: every room has its floor", "appliance/store/planted.py", "appliance.alerts.planted"),
    ("appliance: every room has its floor", "appliance/notifications/planted.py", "appliance.alerts.planted"),
    ("appliance: every room has its floor", "appliance/ingestion/planted.py", "appliance.gateway"),
    ("appliance: every room has its floor", "appliance/errors.py", "appliance.config"),
    ("broker and firmware_store know nothing of the product", "broker/planted.py", "appliance.errors"),
    ("broker and firmware_store know nothing of the product", "firmware_store/planted.py", "appliance.errors"),
    ("Services are called from above, never from pure code", PURE, "appliance.registry.service"),
    ("Services are called from above, never from pure code", "web/planted.py", "appliance.alerts.service"),
    ("Only services run queries", PURE, "appliance.alerts.queries"),
    ("Only services run queries", "appliance/process.py", "appliance.alerts.queries"),
    ("Only services open the store, and queries speak to it", PURE, "appliance.store.database"),
    ("Only services open the store, and queries speak to it", "web/planted.py", "appliance.store.database"),
    ("Only the process knows the web", "appliance/__main__.py", "web.planted"),
    ("Pages and REST do not call each other", "web/pages/planted.py", "web.api.planted"),
    ("Pages and REST do not call each other", "web/api/planted.py", "web.pages.planted"),
    *(
        ("Every third-party package has one home", PURE, package)
        for package in (
            "OpenSSL",
            "aiosmtplib",
            "aiosqlite",
            "amqtt",
            "apscheduler",
            "argon2",
            "cryptography",
            "jinja2",
            "litestar",
            "pkcs11",
            "pyarrow",
            "uvicorn",
        )
    ),
    ("Every third-party package has one home", "appliance/registry/planted.py", "pkcs11"),
    ("Every third-party package has one home", "web/planted.py", "OpenSSL"),
    ("Every third-party package has one home", "web/planted.py", "uvicorn"),
    ("SQLite is opened in the store and spoken to in queries", "appliance/alerts/service.py", "sqlite3"),
    ("SQLite is opened in the store and spoken to in queries", "web/planted.py", "sqlite3"),
    *(
        (
            "Threads belong to the store, to handshakes and to the token, and nothing starts a process",
            "appliance/alerts/service.py",
            module,
        )
        for module in ("concurrent", "multiprocessing", "queue", "subprocess", "threading")
    ),
    ("Sockets are opened where the process meets the outside", "appliance/alerts/service.py", "socket"),
    *(
        ("A query neither waits nor asks for the time or for chance", "appliance/alerts/queries.py", module)
        for module in ("asyncio", "random", "secrets", "time", "uuid")
    ),
    *(
        ("What is shipped does not need what is not", "broker/planted.py", module)
        for module in ("bench", "hypothesis", "paho", "playwright", "pytest", "tests")
    ),
]

# What the linter refuses in a file whose name does not say that it waits.
IMPURE = [
    "import asyncio",
    "from asyncio import sleep",
    "import threading",
    "import concurrent.futures",
    "import subprocess",
    "import socket",
    "import sqlite3",
    "import random",
    "import secrets",
    "import time; time.time()",
    "import time; time.time_ns()",
    "import time; time.monotonic()",
    "import time; time.monotonic_ns()",
    "import time; time.perf_counter()",
    "from time import time",
    "import datetime; datetime.datetime.now()",
    "import datetime; datetime.datetime.utcnow()",
    "import datetime; datetime.date.today()",
    "import uuid; uuid.uuid4()",
    "import os; os.urandom(8)",
    "import os; os.environ.get('HOME')",
    "import os; os.getenv('HOME')",
]


def _module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


def _copy_of_the_tree(folder: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _plant(folder: Path, file: str, line: str) -> None:
    with (folder / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [_tool("lint-imports"), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"COLUMNS": "400"})


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What is said about each broken contract, when every kind of violation is planted at once."""
    folder = _copy_of_the_tree(tmp_path_factory.mktemp("tree"))
    rooms = [path.parent for path in (folder / "appliance").glob("*/__init__.py")]
    for place in (*rooms, *(folder / name for name in ("broker", "web", "web/pages", "web/api", "firmware_store"))):
        (place / "planted.py").touch()
    for _, file, module in IMPORTS:
        _plant(folder, file, f"import {module}")
    (folder / "appliance/novelty").mkdir()
    (folder / "appliance/novelty/__init__.py").touch()

    result = _lint_imports(folder)
    assert result.returncode == 1, result.stdout + result.stderr
    details = result.stdout.partition("Broken contracts\n")[2]
    return dict(re.findall(r"^(\S[^\n]*)\n---+\n(.*?)(?=^\S[^\n]*\n---+\n|\Z)", details, re.DOTALL | re.MULTILINE))


def test_every_contract_is_kept() -> None:
    result = _lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("contract", "file", "module"), IMPORTS)
def test_a_planted_import_is_reported(broken: Mapping[str, str], contract: str, file: str, module: str) -> None:
    said = " ".join(broken[contract].split())
    assert f"{_module(file)} -> {module} (l." in said, said


def test_a_room_without_a_floor_is_reported(broken: Mapping[str, str]) -> None:
    assert "appliance.novelty" in broken["appliance: every room has its floor"]


def test_no_contract_is_without_a_planted_violation() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    names = re.findall(r'\[\[tool\.importlinter\.contracts\]\]\nid = "\w+"\nname = "([^"]+)"', text)
    assert len(names) == text.count("[[tool.importlinter.contracts]]")
    assert set(names) == {contract for contract, _, _ in IMPORTS}


def test_every_package_that_has_a_home_is_planted_elsewhere() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    homes = text.partition('id = "homes"')[2].partition("forbidden_modules = [")[2].partition("]\n")[0]
    planted = {module for contract, _, module in IMPORTS if contract == "Every third-party package has one home"}
    assert set(re.findall(r'"(\w+)"', homes)) == planted


def test_every_banned_name_is_reported_in_a_pure_file(tmp_path: Path) -> None:
    folder = _copy_of_the_tree(tmp_path)
    for number, line in enumerate(IMPURE):
        (folder / f"appliance/alerts/planted_{number}.py").write_text(line + "\n", encoding="utf-8")
    said = _ruff_bans(folder, "appliance/alerts")
    silent = [line for number, line in enumerate(IMPURE) if f"planted_{number}.py" not in said]
    assert silent == []


@pytest.mark.parametrize("package", ["appliance/telemetry", "broker", "firmware_store"])
def test_a_new_pure_file_is_banned_from_waiting_without_an_entry_anywhere(tmp_path: Path, package: str) -> None:
    folder = _copy_of_the_tree(tmp_path)
    (folder / package / "novelty.py").write_text("import asyncio\n", encoding="utf-8")
    assert "novelty.py" in _ruff_bans(folder, package)


def test_a_service_may_wait(tmp_path: Path) -> None:
    folder = _copy_of_the_tree(tmp_path)
    (folder / "appliance/novelty").mkdir()
    (folder / "appliance/novelty/service.py").write_text("import asyncio\n", encoding="utf-8")
    assert _ruff_bans(folder, "appliance/novelty") == ""


def _ruff_bans(folder: Path, place: str) -> str:
    command = [_tool("ruff"), "check", "--no-cache", "--select=TID251", "-q"]
    result = subprocess.run(
        [*command, "--output-format=concise", place], cwd=folder, capture_output=True, text=True, check=False, env={}
    )
    assert result.stderr == ""
    return result.stdout


def test_only_settings_and_health_read_the_environment() -> None:
    """The linter's ban is lifted for services and the process; this one is not."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if _reads_environment(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert readers <= {"appliance/config.py", "appliance/health.py"}


def test_a_reader_of_the_environment_is_recognised() -> None:
    for line in ("import os; os.environ['A']", "from os import getenv", "from os import environ", "os.getenvb(b'A')"):
        assert _reads_environment(ast.parse(line)), line
    assert not _reads_environment(ast.parse("import os; os.fsync(1)"))


def _reads_environment(tree: ast.Module) -> bool:
    names = {"environ", "environb", "getenv", "getenvb"}
    return any(
        (isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os")
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name in names for a in node.names))
        for node in ast.walk(tree)
    )
