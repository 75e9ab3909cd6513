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
    "issuer_key": "hardware",
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


def test_a_key_in_hardware_is_asked_for_and_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway(ca_use_hsm=STATUS, ca_hsm_request="a request")
    assert run(gateway, "ca", "use-hsm") == 0
    assert "Issuer key in a hardware token" in capsys.readouterr().out
    (tmp_path / "ca.pem").write_bytes(b"signed")
    assert run(gateway, "ca", "use-hsm", "--certificate", str(tmp_path / "ca.pem")) == 0
    assert [arguments["certificates"] for _, arguments in gateway.asked] == ["", "c2lnbmVk"]
    assert run(gateway, "ca", "hsm-request", str(tmp_path / "request.pem")) == 0
    assert (tmp_path / "request.pem").read_text() == "a request"
    with pytest.raises(ControlError, match="cannot be written"):
        run(gateway, "ca", "hsm-request", str(tmp_path / "none" / "request.pem"))


def test_issuing_keys_are_removed_only_when_that_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway(ca_remove_issuer_keys=["issuing.key", "issuer-12.key"])
    with pytest.raises(ControlError, match="Say --yes"):
        run(gateway, "ca", "remove-issuer-keys")
    assert gateway.asked == []
    assert run(gateway, "ca", "remove-issuer-keys", "--yes") == 0
    assert gateway.asked == [("ca.remove-issuer-keys", {})]
    assert "issuing.key, issuer-12.key" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["status", "reset"])
def test_what_the_clock_is_worth_is_told(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = {"state": "floor", "wall_at": "2026", "floor_at": "2025", "told": "plausible", "witness": "kernel"}
    gateway = FakeGateway(**{f"clock_{action}": report})
    assert run(gateway, "clock", action) == 0
    assert gateway.asked == [(f"clock.{action}", {})]
    told = capsys.readouterr().out
    assert all(each in told for each in ("2026, floor", "2025 for sure", "the kernel", "plausible"))


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


ISSUERS = [
    {"fingerprint": "ab" * 32, "name": PASSPHRASE, "is_in_use": True, "revoked_at": None},
    {"fingerprint": "cd" * 32, "name": "CN=Old", "is_in_use": False, "revoked_at": 1},
]


def test_the_cas_that_have_issued_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FakeGateway(ca_issuers=ISSUERS), "ca", "issuers") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{'ab' * 32}\t{PASSPHRASE}\tin use", f"{'cd' * 32}\tCN=Old\trevoked"]


def test_a_ca_is_revoked_once_its_name_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    done = {"certificate_count": 3, "successor": {"name": "CN=New", "fingerprint": "ef" * 32}}
    gateway = FakeGateway(ca_issuers=ISSUERS, ca_revoke=done)
    assert run(gateway, "ca", "revoke", "AB" * 32) == 0
    assert gateway.asked[-1] == ("ca.revoke", {"fingerprint": "ab" * 32})
    assert "CN=New issues from now on" in capsys.readouterr().out


@pytest.mark.parametrize("fingerprint", ["cd" * 32, "00"])
def test_another_name_or_a_ca_that_is_not_known_revokes_nothing(fingerprint: str) -> None:
    gateway = FakeGateway(ca_issuers=ISSUERS)
    with pytest.raises(ControlError):
        run(gateway, "ca", "revoke", fingerprint)
    assert [call for call, _ in gateway.asked] == ["ca.issuers"]


def test_a_ca_of_ones_own_is_registered_listed_changed_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"authority_number": 3, "settings": {"mode": "provision"}, "subject": "CN=Factory", "device_count": 2}
    gateway = FakeGateway(ca_code="ab" * 32, ca_register=made, ca_own=[made], ca_change=made, ca_remove=2)
    (tmp_path / "ca.pem").write_bytes(b"certificate")
    files = [str(tmp_path / "ca.pem")] * 2
    for arguments, told in (
        (["code"], "ab" * 32),
        (["register", *files, "--mode", "provision", "--daily-limit", "7"], "3\tprovision\tCN=Factory"),
        (["own"], "3\tprovision\t2 devices\tCN=Factory"),
        (["change", "3", "--mode", "inactive"], "3\tprovision\tCN=Factory"),
        (["remove", "3"], "2 certificates"),
    ):
        assert run(gateway, "ca", *arguments) == 0
        assert told in capsys.readouterr().out
    decided = {"mode": "provision", "daily_limit": 7}
    content = {"certificate": "Y2VydGlmaWNhdGU=", "proof": "Y2VydGlmaWNhdGU="}
    assert gateway.asked[1] == ("ca.register", {**content, "settings": decided})
    assert gateway.asked[3][1] == {"authority_number": 3, "settings": {"mode": "inactive"}}
