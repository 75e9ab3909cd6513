"""One test of the Paho project's interoperability suites, in a process of its own.

Run as `python -m bench.paho_case FOLDER MODULE` to be told the tests of a suite, one a line; with HOST PORT NAME
behind that it runs one, and its status says whether it succeeded. FOLDER is `interoperability` in a checkout.
"""

import importlib
import sys
import types
import unittest

PREFIX = "headworks/"
"""For the one topic which the suites do not name themselves."""


def load(folder: str, module: str) -> type[unittest.TestCase]:
    """The suite's class of tests, with the topics that the suite's own command line would give it."""
    sys.path.insert(0, folder)
    suite = importlib.import_module(module)
    _set(suite, topics=("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA"))
    _set(suite, wildtopics=("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#"))
    _set(suite, nosubscribe_topics=("test/nosubscribe",), topic_prefix=PREFIX)
    tests = suite.Test
    if not (isinstance(tests, type) and issubclass(tests, unittest.TestCase)):
        raise TypeError(f"{module} has no class of tests where it was expected")
    return tests


def main(folder: str, module: str, host: str = "", port: str = "", name: str = "") -> int:
    """List the tests, or run one; gives the exit status."""
    tests = load(folder, module)
    if not name:
        print("\n".join(unittest.defaultTestLoader.getTestCaseNames(tests)))
        return 0
    _set(sys.modules[module], host=host, port=int(port))
    result = unittest.TextTestRunner(verbosity=0).run(unittest.TestSuite([tests(name)]))
    return 0 if result.wasSuccessful() else 1


def _set(suite: types.ModuleType, **names: object) -> None:
    # The suites keep these in global names that only their own command line sets.
    vars(suite).update(names)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
