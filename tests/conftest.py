"""What every test shares: how laws are searched, where coverage is counted, and that what is compiled once is kept."""

import functools
import importlib
import itertools
import os
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine

COUNTING = "COVERAGE_PROCESS_CONFIG"
"""Where a child process reads that it is counted, and how."""

# Counting costs as much as what is counted, so processes are counted only where they alone run something.
COUNTED_PROCESSES = frozenset(
    {
        "tests/appliance/telemetry/cold/worker/test_main.py",
        "tests/appliance/test_main.py",
        "tests/flows/test_catalogue.py",
        "tests/flows/test_certificate_authority.py",
        "tests/flows/test_first_light.py",
    }
)
"""The files whose child processes are counted too."""
COUNTED_PACKAGES = ("appliance", "broker", "web", "firmware_store")
UNCOUNTED = ("tests/bench/", "tests/conformance/", "tests/flows/", "tests/fuzz/")
"""Where tests ask more of code than whether it runs: each of its modules has its own test elsewhere."""
COUNTED_EXAMPLES = 10
"""Of a law, which finds faults with the others, and seldom a line that nothing else runs."""

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
    if sys.gettrace() is None or session.config.pluginmanager.hasplugin("dsession"):
        return (yield)
    for name in COUNTED_PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    with _uncounted():
        return (yield)


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
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    here, in_threads = sys.gettrace(), threading.gettrace()
    law = getattr(getattr(item, "obj", None), "hypothesis", None)
    with pytest.MonkeyPatch.context() as examples:
        if here is None:
            return (yield)
        if law is not None:
            examples.setattr(law, "inner_test", _counted_at_first(law.inner_test))
        # A law about every order of steps makes a machine for each example.
        examples.setattr(RuleBasedStateMachine, "__init__", _counted_at_first(RuleBasedStateMachine.__init__))
        try:
            return (yield)
        finally:
            sys.settrace(here)
            threading.settrace(in_threads)


def _counted_at_first(test: Callable[..., Any]) -> Callable[..., Any]:
    numbers = itertools.count()

    @functools.wraps(test)
    def tried(*arguments: Any, **named: Any) -> Any:
        if next(numbers) == COUNTED_EXAMPLES:
            # To choose the next examples is not counted either.
            sys.settrace(None)
            threading.settrace(None)
        return test(*arguments, **named)

    return tried


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
