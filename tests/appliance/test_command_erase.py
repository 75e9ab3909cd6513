"""What `device erase` asks before it erases, and what it asks of the gateway."""

import argparse
import io
from typing import Any

import pytest

from appliance import command_erase
from appliance.config import Config
from appliance.errors import InvalidInputError, NotFoundError

SEARCH = "attribute.owner:anna"
FOUND = ("cuff-1", "cuff-2")


def run(*arguments: str, found: tuple[str, ...] = FOUND) -> tuple[int, list[tuple[str, Any]]]:
    """Run a command; its status, and the calls that it made."""
    parser = argparse.ArgumentParser()
    asked = []

    def ask(_: Config, call: str, told: dict[str, Any]) -> Any:
        asked.append((call, told))
        return list(found)

    command_erase.add(parser.add_subparsers(), argparse.ArgumentParser(add_help=False), ask)
    options = parser.parse_args(["erase", *arguments])
    return options.command(options, Config()), asked


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n"))


def test_named_devices_are_erased_once_somebody_said_yes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, "no")
    assert run("a", "b") == (1, [])
    assert "Nothing was erased." in capsys.readouterr().out
    type_in(monkeypatch, "yes")
    assert run("a", "b") == (0, [("device.erase", {"device_ids": ["a", "b"]})])
    assert run("a", "--yes")[0] == 0
    assert "received of a is shown to nobody any more" in capsys.readouterr().out


def test_what_a_search_finds_is_shown_and_erased_once_somebody_typed_how_many(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in ("yes", "3", ""):
        type_in(monkeypatch, word)
        assert run("--search", SEARCH) == (1, [("device.find", {"search": SEARCH})])
    assert capsys.readouterr().out.startswith("cuff-1\ncuff-2\nErase everything that was received of 2 devices?")
    type_in(monkeypatch, "2")
    status, [_, (call, told)] = run("--search", SEARCH)
    assert (status, call, told["search"]) == (0, "device.erase_found", SEARCH)
    # Not how many, but which: somebody else may change a device meanwhile.
    assert (told["agreed"]["count"], sorted(told["agreed"]["device_ids"])) == (None, [*FOUND])
    printed = capsys.readouterr().out
    assert "received of 2 devices is shown to nobody" in printed
    assert "Backups and exports that were made before still hold it" in printed


def test_a_script_says_how_many_it_expects_and_is_not_asked() -> None:
    agreed = {"count": 2, "device_ids": None}
    call = ("device.erase_found", {"search": SEARCH, "agreed": agreed})
    assert run("--search", SEARCH, "--count", "2") == (0, [call])


def test_a_search_that_finds_nothing_is_not_asked_about() -> None:
    with pytest.raises(NotFoundError):
        run("--search", SEARCH, found=())


@pytest.mark.parametrize(
    "arguments",
    [(), ("a", "--search", SEARCH), ("a", "--count", "1"), ("--search", SEARCH, "--yes"), ("--search", "")],
)
def test_what_does_not_say_whose_readings_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError):
        run(*arguments)
