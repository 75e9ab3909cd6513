import os
import sys
import time
from pathlib import Path

import pytest

from bench.children import (
    BenchError,
    alone,
    cpu_seconds,
    machine,
    resident_kb,
    run,
    started,
    stolen_ticks,
)


def test_linux_says_what_this_process_uses() -> None:
    before = cpu_seconds(os.getpid())
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert 0.02 <= cpu_seconds(os.getpid()) - before <= 1
    assert 5_000 < resident_kb(os.getpid()) < 2_000_000


def test_time_that_others_took_from_a_core_is_found() -> None:
    said = "cpu  9 9 9 9 9 9 9 90 9 9\ncpu0 1 2 3 4 5 6 7 80 0 0\ncpu10 1 2 3 4 5 6 7 10 0 0\ncpu3 1 2 3 4\nintr 5\n"
    assert [stolen_ticks(said, core) for core in (0, 10, 3, 1)] == [80, 10, 0, 0]


def test_a_process_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchError, match="ended by itself with status 3"),
        started([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log", 0) as child,
    ):
        child.wait()


def test_a_process_is_asked_to_stop(tmp_path: Path) -> None:
    with started([sys.executable, "-c", "input()"], tmp_path / "log", 0) as child:
        assert child.poll() is None
    assert child.returncode != 0


def test_a_command_that_fails_is_told_with_its_words() -> None:
    with pytest.raises(BenchError, match="no such thing"):
        run([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_the_machine_is_named() -> None:
    assert "Linux" in machine()


def test_two_measurements_do_not_run_at_once() -> None:
    with pytest.raises(BenchError, match="another one"), alone(), alone():
        pass
