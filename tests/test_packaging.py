"""What ships the gateway stays true: the script, the lock files, the unit, the image."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd/headworks.service"

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def _locked(name: str) -> dict[str, str]:
    """Package to version, as a lock file pins them."""
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", _text(name), re.MULTILINE))


# --- lock files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_pins_every_package_by_hash_and_holds_no_address(name: str) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", "\n" + _text(name).strip())
    entries = [entry for entry in entries if entry.strip() and not entry.lstrip().startswith("#")]
    assert len(entries) == len(_locked(name)) > 10
    for entry in entries:
        assert "--hash=sha256:" in entry, entry
    assert "://" not in _text(name)


def test_tests_run_on_the_very_versions_that_are_shipped() -> None:
    shipped, tested = _locked("requirements.lock"), _locked("requirements-dev.lock")
    assert shipped.items() <= tested.items()


def test_every_declared_dependency_is_locked() -> None:
    project = tomllib.loads(_text("pyproject.toml"))
    for name, wanted in (
        ("requirements.lock", project["project"]["dependencies"]),
        ("requirements-dev.lock", project["dependency-groups"]["dev"]),
    ):
        locked = _locked(name)
        missing = [entry for entry in wanted if re.split(r"[<>=\[; ]", entry)[0] not in locked]
        assert missing == []


# --- the script ----------------------------------------------------------------------------------


def test_the_script_is_what_a_posix_shell_reads() -> None:
    for name in ("headworks", "scripts/image.sh", "scripts/package.sh", "scripts/fresh_machine.sh"):
        assert _text(name).startswith("#!/bin/sh\n")
        result = _run("sh", "-n", name, PATH=os.defpath)
        assert result.returncode == 0, result.stderr
        assert os.access(ROOT / name, os.X_OK), f"{name} is not executable"


def test_the_script_says_its_commands_without_an_environment() -> None:
    result = _run("/bin/sh", str(ROOT / "headworks"), "help")
    assert result.returncode == 0
    for command in ("run", "test", "check", "bench", "docs", "package", "image"):
        assert f"./headworks {command}" in result.stdout


def test_without_python_the_script_says_the_line_to_run(tmp_path: Path) -> None:
    for tool in ("sh", "readlink", "dirname", "id", "cat"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    result = _run("sh", str(ROOT / "headworks"), "check-config", PATH=str(tmp_path), HEADWORKS_PYTHON="absent")
    assert result.returncode == 1
    assert "sudo apt-get install -y python3 python3-venv ca-certificates" in result.stderr


@pytest.mark.timeout(180)
def test_the_script_makes_an_environment_once_and_hands_over_to_its_python(tmp_path: Path) -> None:
    """The real script over an empty lock file: what it does, without the downloads."""
    checkout = _checkout_without_dependencies(tmp_path / "a folder")
    first = _headworks(checkout, "run", "--demo")
    assert (first.returncode, first.stdout) == (7, "['run', '--demo']\n"), first.stderr
    assert "making .venv" in first.stderr
    assert _headworks(checkout, "run").stderr == ""

    # Another lock file, and what a start leaves behind that was killed in the middle.
    (checkout / "requirements.lock").write_text("# another lock file\n", encoding="utf-8")
    ended = subprocess.Popen(["true"])
    ended.wait()
    (checkout / ".venv/.lock").mkdir()
    (checkout / ".venv/.lock/pid").write_text(str(ended.pid), encoding="utf-8")
    assert "making .venv" in _headworks(checkout, "run").stderr
    assert not (checkout / ".venv/.lock").exists()


def _checkout_without_dependencies(folder: Path) -> Path:
    (folder / "appliance").mkdir(parents=True)
    (folder / "appliance/__main__.py").write_text("import sys\nprint(sys.argv[1:])\nsys.exit(7)\n", encoding="utf-8")
    for name in ("requirements.lock", "requirements-dev.lock"):
        (folder / name).write_text("# nothing\n", encoding="utf-8")
    shutil.copy(ROOT / "headworks", folder)
    return folder


def _headworks(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _run(str(checkout / "headworks"), *arguments, PATH=os.defpath, HEADWORKS_PYTHON=sys.executable)


# --- systemd -------------------------------------------------------------------------------------


@needs_systemd
def test_the_unit_is_clean(tmp_path: Path) -> None:
    # The installed command is not here; everything else is checked as it is shipped.
    unit = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8"))
    (tmp_path / UNIT.name).write_text(unit, encoding="utf-8")
    result = _run("systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name), PATH=os.defpath)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@needs_systemd
def test_the_unit_exposes_little() -> None:
    result = _run("systemd-analyze", "security", "--offline=true", "--threshold=15", str(UNIT), PATH=os.defpath)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_unit_says_readiness_and_is_watched() -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    for line in ("Type=notify", "WatchdogSec=30s", "User=headworks", "Restart=on-failure", "CapabilityBoundingSet="):
        assert line in lines
    assert re.search(r"^u headworks ", _text("systemd/headworks.sysusers"), re.MULTILINE)


# --- the image -----------------------------------------------------------------------------------


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(r"(?m)^#.*\n", "", _text("Dockerfile")).replace("\\\n", " ")
    return [
        (word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word
    ]


def test_the_image_has_two_stages_and_the_second_is_not_root() -> None:
    instructions = _instructions()
    stages = [index for index, (word, _) in enumerate(instructions) if word == "FROM"]
    assert len(stages) == 2
    final = instructions[stages[1] :]
    assert ("USER", "10001:10001") in final
    assert any(word == "HEALTHCHECK" and "/readyz" in rest for word, rest in final)
    assert ("STOPSIGNAL", "SIGTERM") in final
    # In the form of a list nothing stands between the signal and Python.
    assert all(rest.startswith("[") for word, rest in final if word in ("ENTRYPOINT", "CMD"))
    assert not any("pip install" in rest for _, rest in final)


def test_the_image_takes_packages_by_hash_and_names_its_base_by_version() -> None:
    rests = [rest for _, rest in _instructions()]
    assert all("--require-hashes" in rest for rest in rests if "pip install" in rest)
    assert any(re.fullmatch(r"PYTHON_IMAGE=\S+:3\.\d+-slim-\w+", rest) for rest in rests)
    assert not any(word == "ADD" for word, _ in _instructions())


def test_the_image_gets_every_package_and_nothing_else() -> None:
    project = tomllib.loads(_text("pyproject.toml"))
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = {rest.split()[0] for word, rest in _instructions() if word == "COPY" and not rest.startswith("--from")}
    allowed = {line[1:] for line in _text(".dockerignore").splitlines() if line.startswith("!")}
    assert copied == allowed == packages | {"requirements.lock"}
