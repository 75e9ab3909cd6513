import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.children import BenchError
from bench.interoperability import FOLDER, SUITES, Outcome, run_suites

SUITE = """
import unittest

class Test(unittest.TestCase):
    def test_good(self):
        self.assertEqual((host, port, nosubscribe_topics[0]), ("127.0.0.1", 1883, "test/nosubscribe"))

    def test_bad(self):
        try:
            raise ValueError("the cause")
        except ValueError:
            import traceback
            traceback.print_exc()
        self.assertTrue(False, "False != True")

    def will_message_test(self):
        raise AssertionError("nobody runs this")
"""


def checkout(folder: Path) -> Path:
    (folder / FOLDER).mkdir()
    (folder / FOLDER / f"{SUITES['5']}.py").write_text(SUITE, encoding="utf-8")
    return folder


def test_each_test_has_a_process_and_a_fresh_broker(tmp_path: Path) -> None:
    served: list[str] = []
    lock = threading.Lock()

    @contextmanager
    def serving(name: str) -> Iterator[tuple[str, int]]:
        with lock:
            served.append(name)
        yield "127.0.0.1", 1883

    outcomes = run_suites(checkout(tmp_path), ["5"], serving)
    assert outcomes == [Outcome("5", "test_bad", "ValueError: the cause"), Outcome("5", "test_good", None)]
    assert sorted(served) == ["paho-5-test_bad", "paho-5-test_good"]


def test_what_is_no_checkout_is_told(tmp_path: Path) -> None:
    @contextmanager
    def serving(_: str) -> Iterator[tuple[str, int]]:
        yield "127.0.0.1", 1883

    with pytest.raises(BenchError, match=r"has no client_test\.py"):
        run_suites(checkout(tmp_path), ["3.1.1"], serving)
