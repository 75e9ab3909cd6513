import io
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from appliance.__main__ import _announce, _ask, _causes, _ended, main
from appliance.config import Config
from appliance.control import ControlError
from appliance.errors import ApplianceError
from appliance.folder_lock import folder_locked
from appliance.process import Started

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("globals_restored")


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f"data = '{tmp_path / 'var'}'\n[mqtt]\nport = 18883\n[http]\nport = 18443\n")
    return path


def run(config: Path, *words: str) -> int:
    return main([*words, "--config", str(config)])


def test_check_config_prints_what_is_in_force(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "check-config") == 0
    shown = capsys.readouterr()
    assert "[mqtt]" in shown.out
    assert "port = 18883" in shown.out
    assert shown.err == ""


def test_what_is_not_taken_over_from_amqtts_configuration_is_said_beside_the_settings(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "amqtt.toml").write_text("sys_interval = 20\n[listeners.default]\nbind = '127.0.0.1:1883'\n")
    with config.open("a") as file:
        file.write(f"[plugins]\namqtt_config = '{tmp_path / 'amqtt.toml'}'\n")
    assert run(config, "check-config") == 0
    shown = capsys.readouterr()
    assert f'amqtt_config = "{tmp_path / "amqtt.toml"}"' in shown.out
    assert "sys_interval is left out: limits.sys_interval_s says it here" in shown.err


@pytest.mark.parametrize("command", ["check-config", "run"])
def test_a_configuration_of_amqtts_that_cannot_be_taken_over_is_refused_in_a_sentence(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with config.open("a") as file:
        file.write(f"[plugins]\namqtt_config = '{tmp_path / 'none.yaml'}'\n")
    assert run(config, command) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert (
        shown.err
        == f"headworks: plugins.amqtt_config: {tmp_path / 'none.yaml'}: cannot be read: No such file or directory\n"
    )


def test_the_data_folder_of_the_command_line_wins(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "check-config", "--data", str(tmp_path / "other")) == 0
    assert f'data = "{tmp_path / "other"}"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[mqtt]\nprot = 1", "unknown field `prot`"),
        ("[mqtt]\nport = 'many'", "Expected `int`"),
        ("[mqtt", "not TOML"),
        ("[log]\nlevel = 'loud'", "expected debug, info, warning or error"),
        ("[plugins]\nmode = 'guests'", "no plugin is configured to admit guests"),
    ],
)
@pytest.mark.parametrize("command", ["check-config", "run"])
def test_a_broken_settings_file_is_refused_with_its_name_and_what_is_wrong(
    config: Path, capsys: pytest.CaptureFixture[str], text: str, words: str, command: str
) -> None:
    config.write_text(text)
    assert run(config, command) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"headworks: {config}: ")
    assert words in shown.err


def test_a_settings_file_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "none.toml", "check-config") == 2
    assert "none.toml: cannot be read" in capsys.readouterr().err


def test_a_device_is_added_with_a_bundle_and_a_line_that_tries_it(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "device", "add", "pump-1", "--name", "Pump", "--zone", "north") == 0
    folder = tmp_path / "var" / "bundles" / "pump-1"
    shown = capsys.readouterr().out
    assert str(folder) in shown
    assert re.search(r"mosquitto_pub -h localhost -p 18883 -i pump-1 .* -t sensors/pump-1/telemetry", shown)
    assert {"README.txt", "certificate.pem", "key.pem", "root.pem"} <= {path.name for path in folder.iterdir()}
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert run(config, "device", "list") == 0
    assert capsys.readouterr().out == "pump-1\tactive\tPump\n"


def test_a_list_may_go_to_a_reader_that_has_seen_enough(config: Path) -> None:
    assert run(config, "device", "add", "pump-1") == 0
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "appliance", "device", "list", "--config", str(config)]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_leaves_the_signals_of_its_process_alone(config: Path) -> None:
    before = signal.getsignal(signal.SIGPIPE)
    assert run(config, "device", "list") == 0
    assert signal.getsignal(signal.SIGPIPE) == before


def test_a_bundle_goes_where_it_is_asked_for(config: Path, tmp_path: Path) -> None:
    assert run(config, "device", "add", "pump-1", "--out", str(tmp_path / "stick")) == 0
    assert (tmp_path / "stick" / "root.pem").exists()
    assert not (tmp_path / "var" / "bundles").exists()


def test_a_name_that_cannot_be_a_devices_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "device", "add", "pump/#") == 2
    assert "headworks: 'pump/#' cannot be a device id" in capsys.readouterr().err


def test_readings_are_erased_once_somebody_said_yes(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["device", "add", "pump-1", "--config", str(config)]) == 0
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    assert main(["device", "erase", "pump-1", "--config", str(config)]) == 1
    assert "Nothing was erased." in capsys.readouterr().out
    assert main(["device", "erase", "pump-1", "--yes", "--config", str(config)]) == 0
    assert "erased from the disk soon" in capsys.readouterr().out
    assert main(["device", "erase", "pump-9", "--yes", "--config", str(config)]) == 2


def test_a_token_is_shown_once(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = []
    for _ in range(2):
        assert run(config, "token", "add", "backup") == 0
        tokens.append(capsys.readouterr().out.strip())
    assert all(re.fullmatch(r"hw_\d+\.\S+", token) for token in tokens)
    assert tokens[0] != tokens[1]


def test_a_token_has_the_role_that_was_asked_for(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--role", "viewer"]):
        assert run(config, "token", "add", "backup", *options) == 0
    with closing(sqlite3.connect(config.parent / "var" / "gateway.db")) as database:
        roles = database.execute("SELECT role FROM token ORDER BY token_id").fetchall()
    assert roles == [("operator",), ("viewer",)]
    with pytest.raises(SystemExit):
        run(config, "token", "add", "backup", "--role", "king")
    assert "invalid choice: 'king'" in capsys.readouterr().err


def test_a_claim_link_is_made_for_the_dashboards_port(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "claim") == 0
    assert re.fullmatch(r"https://localhost:18443/claim#\S{20,}\n", capsys.readouterr().out)


def test_a_folder_that_a_silent_gateway_holds_is_not_touched(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with folder_locked(tmp_path / "var"):
        assert run(config, "device", "list") == 2
        assert run(config, "run") == 2
    assert "a gateway already runs on" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["lock"]


@pytest.mark.parametrize("words", [[], ["dance"], ["device"], ["device", "add"], ["simulate", "--scenario", "calm"]])
def test_a_command_that_is_none_ends_with_how_it_is_used(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: headworks" in capsys.readouterr().err


def test_every_cause_of_a_failure_is_named_once_however_deep_it_lies() -> None:
    first, second, third = ValueError("first"), OSError("second"), KeyError("third")
    group = BaseExceptionGroup("all", [first, BaseExceptionGroup("some", [second, ExceptionGroup("one", [third])])])
    assert _causes(group) == [first, second, third]
    assert _causes(first) == [first]


def test_what_a_person_can_mend_is_said_in_a_sentence_and_a_defect_with_its_trace(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    taken = ApplianceError("http: port 8443 cannot be opened")
    assert _ended([taken]) == 2
    assert capsys.readouterr().err == "headworks: http: port 8443 cannot be opened\n"
    assert caplog.text == ""
    assert _ended([taken, ValueError("a defect")]) == 1
    assert "a defect" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_folder_of_another_user_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.seteuid(65_534)
    try:
        with pytest.raises(ControlError, match="var belongs to another user"):
            _ask(Config(data=str(tmp_path / "var")), "device.list", {})
    finally:
        os.seteuid(0)


def test_a_start_says_where_everything_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _announce(
        Started(
            "192.168.4.2", "AB:CD", 8443, 8080, 8444, 8445, 8883, 9443, (1883, 1884), 8884, tmp_path, claim="secret"
        )
    )
    shown = capsys.readouterr().out
    for words in (
        "https://localhost:8443/\n",
        "mqtts://localhost:8883",
        "Shared     localhost:9443 ",
        "mqtt://localhost:1883 ",
        "mqtt://localhost:1884 ",
        "mqtts://localhost:8884 ",
        "https://localhost:8444/ ",
        "https://localhost:8445/enrol ",
        str(tmp_path),
        "/claim#secret\n",
        "192.168.4.2",
        "AB:CD",
        "8080/trust",
    ):
        assert words in shown


def test_a_gateway_says_nothing_of_what_it_does_not_offer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _announce(Started("192.168.4.2", "AB:CD", 8443, None, None, None, 8883, None, (), None, tmp_path, None))
    shown = capsys.readouterr().out
    for words in ("Claim", "Trust", "Enrolment", "Knock", "Shared", "Token", "mqtt://"):
        assert words not in shown


def test_a_command_does_not_wait_for_the_pages_and_the_schedule() -> None:
    asked = "import sys, appliance.__main__; print(sorted({'litestar', 'uvicorn', 'apscheduler'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", [("run",), ("device", "list")])
def test_a_damaged_database_is_refused_with_its_name_and_what_to_do(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert run(config, "device", "list") == 0
    path = tmp_path / "var" / "gateway.db"
    content = path.read_bytes()
    path.write_bytes(content[:4_096] + b"\xff" * (len(content) - 4_096))
    assert run(config, *command) == 2
    shown = capsys.readouterr()
    assert f"headworks: {path} is damaged (" in shown.err
    assert "from a backup" in shown.err
    assert "Traceback" not in shown.err
