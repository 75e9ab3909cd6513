"""Every setting, command and route is documented, with its true default; links lead somewhere."""

import argparse
import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.__main__ import _parser
from appliance.config import Config
from broker.limits import Limits, under_aws

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs/reference"


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- settings ------------------------------------------------------------------------------------


def _settings() -> Iterator[tuple[str, object]]:
    """Each key as people write it, and its default."""
    config = Config()
    for name in config.__struct_fields__:
        value = getattr(config, name)
        if isinstance(value, msgspec.Struct):
            yield from _settings_in(name, value)
        else:
            yield name, value


def _settings_in(name: str, section: msgspec.Struct) -> Iterator[tuple[str, object]]:
    for key in section.__struct_fields__:
        value = getattr(section, key)
        if isinstance(value, msgspec.Struct):
            yield from _settings_in(f"{name}.{key}", value)
        else:
            yield f"{name}.{key}", value


SETTINGS = dict(_settings())


def _documented_settings() -> dict[str, str]:
    return dict(re.findall(r"^\| `([a-z0-9_.]+)` \| (.*?) \|", _text("docs/reference/settings.md"), re.MULTILINE))


@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_is_documented_with_its_default(key: str) -> None:
    default = SETTINGS[key]
    written = "off" if default is None else f"`{json.dumps(default)}`"
    assert _documented_settings().get(key) == written


def test_no_setting_is_documented_that_does_not_exist() -> None:
    assert set(_documented_settings()) == set(SETTINGS)


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_a_limit_is_in_the_table_of_the_reference_with_both_its_values(name: str) -> None:
    rows = re.findall(
        r"^\| `([a-z_]+)` \| ([\d,.]+|off) \| ([\d,.]+|off) \|", _text("docs/reference/mqtt.md"), re.MULTILINE
    )
    documented = {row[0]: row[1:] for row in rows}
    assert documented.get(name) == (_written(getattr(Limits(), name)), _written(getattr(under_aws(Limits()), name)))


def _written(limit: float | None) -> str:
    return "off" if limit is None else f"{limit:,}".removesuffix(".0")


# --- commands ------------------------------------------------------------------------------------


def _commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not choices:
        yield name, parser
    for group in choices:
        for word, inner in group.items():
            yield from _commands(inner, f"{name} {word}".strip())


COMMANDS = dict(_commands(_parser()))
COMMON = {"-h", "--help", "--config", "--data"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_documented_with_each_of_its_options(name: str) -> None:
    sections = re.split(r"(?m)^## ", _text("docs/reference/commands.md"))
    section = next((text for text in sections if re.match(rf"`{name}[ `]", text)), None)
    assert section, f"no section for the command {name}"
    options = {option for action in COMMANDS[name]._actions for option in action.option_strings} - COMMON
    assert [option for option in sorted(options) if option not in section] == []


def test_the_commands_of_the_script_are_documented() -> None:
    commands = re.findall(r"(?m)^    ([a-z]+)\)$", _text("headworks"))
    assert {"test", "check", "bench", "docs", "package", "image"} <= set(commands)
    text = _text("docs/reference/commands.md")
    assert [command for command in commands if f"`{command}" not in text] == []


# --- routes --------------------------------------------------------------------------------------

METHODS = {"get", "post", "put", "patch", "delete", "websocket"}


def _routes() -> Iterator[str]:
    """Each route as the reference writes it: method and path, without the types of parameters."""
    for path in sorted((ROOT / "web").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in METHODS:
                for written in _paths(node):
                    yield f"{node.func.id.upper()} {re.sub(r':[a-z]+}', '}', written)}"


def _paths(call: ast.Call) -> list[str]:
    given = call.args[0] if call.args else next((word.value for word in call.keywords if word.arg == "path"), None)
    elements = given.elts if isinstance(given, ast.List) else [given]
    return [str(element.value) for element in elements if isinstance(element, ast.Constant)]


ROUTES = sorted(set(_routes()))


def test_routes_were_found() -> None:
    assert "GET /devices" in ROUTES
    assert "POST /sign-in" in ROUTES


def _documented_routes() -> set[str]:
    text = "\n".join(_text(f"docs/reference/{name}.md") for name in ("http", "device-https"))
    return set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", text, re.MULTILINE))


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_is_documented(route: str) -> None:
    assert route in _documented_routes()


def test_no_route_is_documented_that_does_not_exist() -> None:
    assert _documented_routes() - set(ROUTES) == set()


# --- the rest ------------------------------------------------------------------------------------


def test_the_readme_opens_with_exactly_its_two_commands() -> None:
    text = _text("README.md")
    [first, *_] = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    assert first.splitlines() == ["./headworks run --demo", "./headworks test"]
    assert text.index(first) < 200


def test_no_link_of_the_documents_leads_nowhere() -> None:
    specification = importlib.util.spec_from_file_location("render_docs", ROOT / "scripts/render_docs.py")
    assert specification is not None
    assert specification.loader is not None
    render_docs = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(render_docs)
    broken = {str(page.relative_to(ROOT)): render_docs.broken_links(page) for page in render_docs.pages()}
    assert {page: links for page, links in broken.items() if links} == {}


def test_every_document_that_a_module_cites_exists() -> None:
    cited = {
        match
        for package in ("appliance", "broker", "web", "bench")
        for path in (ROOT / package).rglob("*.py")
        for match in re.findall(r"docs/[\w/.-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert [document for document in sorted(cited) if not (ROOT / document).exists()] == []


def test_decisions_are_numbered_without_gaps_and_have_their_four_parts() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    index = _text("docs/decisions/README.md")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert f"({page.name})" in index
        assert text.startswith(f"# {page.name[:4]} ")
        positions = [
            text.find(part) for part in ("\nStatus: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n")
        ]
        assert -1 not in positions, page.name
        assert positions == sorted(positions), page.name


def test_a_change_note_is_named_by_its_kind_and_says_something() -> None:
    for note in (ROOT / "changes").glob("*.md"):
        if note.name == "README.md":
            continue
        assert re.fullmatch(r"[a-z0-9-]+\.(added|changed|fixed|removed|security)\.md", note.name), note.name
        assert len(note.read_text(encoding="utf-8").split()) > 3, note.name
