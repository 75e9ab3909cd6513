"""`ca` and `audit`: what they ask, what they print, and what lies on the disk afterwards."""

import argparse
import io
import stat
from pathlib import Path
from typing import Any

import pytest

from appliance import command_ca, config
from appliance.config import Config
from appliance.control import ControlError

STATUS = {
    "root": "ab" * 32,
    "root_expires_at": "2046-11-16T06:00:00.000Z",
    "root_key": "here",
    "issuer": "cd" * 32,
    "issuer_name": "CN=Example",
    "issuer_expires_at": "2036-11-16T06:00:00.000Z",
    "issuer_is_ours": False,
}


class FakeGateway:
    """Remembers what it was asked, and has one answer to each call."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers

    def __call__(self, _: Config, call: str, arguments: dict[str, Any]) -> Any:
        self.asked.append((call, arguments))
        return self._answers.get(call.replace(".", "_").replace("-", "_"))


PASSPHRASE = "nine blue lamps hum"


def run(gateway: FakeGateway, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    typed = io.StringIO(PASSPHRASE + "\n")
    command_ca.add(parser.add_subparsers(required=True), argparse.ArgumentParser(add_help=False), gateway, typed)
    options = parser.parse_args(arguments)
    status: int = options.command(options, config.load(None))
    return status


def test_an_export_is_written_for_its_owner_alone_and_read_back(tmp_path: Path) -> None:
    gateway = FakeGateway(ca_export_root="the export")
    assert run(gateway, "ca", "export-root", str(tmp_path / "root.pem")) == 0
    assert (tmp_path / "root.pem").read_text() == "the export"
    assert stat.S_IMODE((tmp_path / "root.pem").stat().st_mode) == 0o600
    confirm = ("ca.confirm-export", {"exported": "the export", "passphrase": PASSPHRASE})
    assert gateway.asked == [("ca.export-root", {"passphrase": PASSPHRASE}), confirm]


def test_an_export_never_overwrites_a_file(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text("an older one")
    gateway = FakeGateway(ca_export_root="the export")
    with pytest.raises(ControlError, match="cannot be written"):
        run(gateway, "ca", "export-root", str(tmp_path / "root.pem"))
    assert (tmp_path / "root.pem").read_text() == "an older one"
    assert [call for call, _ in gateway.asked] == ["ca.export-root"]


def test_status_and_issuer_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway(ca_status=STATUS, ca_use_issuer=STATUS)
    assert run(gateway, "ca", "status") == 0
    assert "here, never exported" in capsys.readouterr().out
    (tmp_path / "ca.pem").write_bytes(b"certificate")
    assert run(gateway, "ca", "use-issuer", str(tmp_path / "ca.pem"), str(tmp_path / "ca.pem")) == 0
    assert "CN=Example (from elsewhere)" in capsys.readouterr().out
    with pytest.raises(ControlError, match="cannot be read"):
        run(gateway, "ca", "use-issuer", str(tmp_path / "none"), str(tmp_path / "none"))


def test_the_root_is_removed_and_put_back(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text("the export")
    gateway = FakeGateway()
    assert run(gateway, "ca", "remove-root") == 0
    assert run(gateway, "ca", "restore-root", str(tmp_path / "root.pem")) == 0
    restore = ("ca.restore-root", {"exported": "the export", "passphrase": PASSPHRASE})
    assert gateway.asked == [("ca.remove-root", {}), restore]


@pytest.mark.parametrize(("fault", "status"), [("", 0), ("entry 3 was changed", 1)])
def test_the_exit_status_says_whether_the_log_is_well(
    fault: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = {"tenant_id": 1, "entry_count": 7, "hash": "ef" * 32, "fault": fault}
    assert run(FakeGateway(audit_verify=[verdict]), "audit", "verify") == status
    assert (fault or "unbroken") in capsys.readouterr().out
