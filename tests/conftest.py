"""What every test shares: how laws are searched, where coverage is counted, and that what is compiled once is kept."""

import gc
import importlib
import os
import pkgutil
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.flows.powerless import NOT_DONE

ROOT = Path(__file__).parents[1]
COUNTING = "COVERAGE_PROCESS_CONFIG"
"""Where a child process reads that it is counted, and how."""

# Counting costs as much as what is counted, so processes are counted only where they alone run something.
COUNTED_PROCESSES = frozenset(
    {
        "tests/appliance/telemetry/cold/worker/test_main.py",
        "tests/appliance/test_main.py",
        "tests/flows/test_first_light.py",
    }
)
"""The files whose child processes are counted too."""
COUNTED_PACKAGES = ("appliance", "broker", "web", "firmware_store")
UNCOUNTED = ("tests/bench/", "tests/conformance/", "tests/flows/", "tests/fuzz/")
"""Where tests ask more of code than whether it runs: each of its modules has its own test elsewhere."""
COUNTED_S = 0.5
"""Of the processor time of a test, which finds faults with the rest, and seldom a line that nothing else runs."""
GARBAGE = (10_000, 10, 10)
"""How many new things the collector waits for, and how many of its rounds for a longer one: see `gc.set_threshold`."""
STORIES = "tests/flows/"
STORIES_END = 0.85
"""How far into the others stories go: one that begins last would be waited for."""

# Stories start the product hundreds of times: where nothing may be kept, each start compiles half a thousand modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A busy machine is not a counter-example, so laws have no deadline; pytest's own time limit ends what hangs.
settings.register_profile("developer", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
# Continuous integration looks at the same examples every time: a change must not fail for what another one did.
# To look at new ones is for developers and for the thorough, who have time for more.
settings.register_profile("integration", settings.get_profile("developer"), derandomize=True, max_examples=30)
# HEADWORKS_TESTS=thorough looks longer, wherever a law does not say for itself how long.
settings.register_profile("thorough", settings.get_profile("developer"), max_examples=200)
if "HEADWORKS_TESTS" in os.environ:
    settings.load_profile(os.environ["HEADWORKS_TESTS"])
else:
    settings.load_profile("integration" if "CI" in os.environ else "developer")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Import while it is counted what is counted, and collect while nothing is: that makes ten thousand tests."""
    # Who only deals tests out to other processes collects none.
    if session.config.pluginmanager.hasplugin("dsession"):
        return (yield)
    with _nothing_made_is_garbage():
        if sys.gettrace() is not None:
            for name in COUNTED_PACKAGES:
                package = importlib.import_module(name)
                for module in pkgutil.walk_packages(package.__path__, f"{name}."):
                    importlib.import_module(module.name)
        with _uncounted():
            worker = getattr(session.config, "workerinput", {"workercount": 1})
            if worker["workercount"] > 1:
                _import_tests(worker)
            return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Spread stories, which wait for processes and intervals, among tests that compute: so no core waits with them."""
    if not hasattr(config, "workerinput"):
        return
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    stories = [name for name in files if name.startswith(STORIES)]
    others = [name for name in files if not name.startswith(STORIES)]
    places = {name: (place * STORIES_END / len(stories), 0) for place, name in enumerate(stories)}
    # The longest of them are at the end: beginning there, the last that begin are short, and no process is waited for.
    places |= {name: (place / len(others), 1) for place, name in enumerate(reversed(others))}
    items[:] = [item for name in sorted(places, key=places.__getitem__) for item in files[name]]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    name, _, _ = item.nodeid.partition("::")
    with pytest.MonkeyPatch.context() as environment:
        if name in COUNTED_PROCESSES:
            return (yield)
        environment.delenv(COUNTING, raising=False)
        with _uncounted() if name.startswith(UNCOUNTED) else nullcontext():
            return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    # What the tests of a file stand on is made for each of them in the same way.
    with nullcontext() if _is_first_of_its_file(item) else _uncounted_here():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with nullcontext() if _is_first_of_its_file(item) else _uncounted_here():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    here, in_threads = sys.gettrace(), threading.gettrace()
    # Only the main thread may hear signals, in which tests run.
    if here is None or threading.current_thread() is not threading.main_thread():
        return (yield)
    before = signal.signal(signal.SIGVTALRM, lambda *_: _count_no_more())
    signal.setitimer(signal.ITIMER_VIRTUAL, COUNTED_S)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        sys.settrace(here)
        threading.settrace(in_threads)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where nobody overlooks it what could not be tried on this machine."""
    left_out = [one for one in terminalreporter.stats.get("skipped", ()) if NOT_DONE in str(one.longrepr)]
    if left_out:
        terminalreporter.section(f"{len(left_out)} left out: {NOT_DONE}", "!", red=True, bold=True)
        for report in left_out:
            terminalreporter.write_line(report.nodeid, red=True)
        terminalreporter.write_line("They need root, mkfs.ext4 and loop devices: see CONTRIBUTING.md.", red=True)


def _import_tests(worker: dict[str, Any]) -> None:
    """Import all modules of tests, in each process from another one on: what one has compiled, the others need not.

    In a fresh checkout that is most of what there is to do before the first test.
    """
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in files[first:] + files[:first]:
        # What is wrong with one, or warned of, is said when it is collected: until then it is not imported.
        with suppress(Exception, pytest.skip.Exception), warnings.catch_warnings(action="error"):
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def _count_no_more() -> None:
    sys.settrace(None)
    threading.settrace(None)


_begun: dict[str, str] = {}
"""The first test of each file that was set up."""


def _is_first_of_its_file(item: pytest.Item) -> bool:
    name, _, _ = item.nodeid.partition("::")
    return _begun.setdefault(name, item.nodeid) == item.nodeid


@contextmanager
def _nothing_made_is_garbage() -> Iterator[None]:
    """Look for no garbage meanwhile, and never in what was made: ten thousand tests and all that they import stay.

    To look at it again and again, and at what tests make as often as at first, took a seventh of their time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        gc.enable()


@contextmanager
def _uncounted() -> Iterator[None]:
    """Stop counting in this process for a while. The runner's own way leaves a second count of each worker running."""
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(here)
        threading.settrace(in_threads)


@contextmanager
def _uncounted_here() -> Iterator[None]:
    """Stop counting in this thread for a while, and not in those that begin meanwhile."""
    here = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(here)
