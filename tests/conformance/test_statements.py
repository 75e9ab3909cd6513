"""Which normative statements of both specifications are shown: no gap without a reason, no number that is not there."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.conformance import statements_v4, statements_v5
from tests.conformance.statements import Reason

HERE = Path(__file__).parent
# One statement of MQTT 3.1.1 is printed with a slip, and known by it.
NUMBER = re.compile(r"MQTT-(?:\d+\.\d+\.\d+|3-8\.3)-\d+")
TABLES = {4: statements_v4.STATEMENTS, 5: statements_v5.STATEMENTS}
# Appendix B of each specification, by chapter.
COUNTS = {
    4: {"1": 3, "2": 9, "3": 95, "4": 26, "6": 4, "7": 4},
    5: {"1": 5, "2": 7, "3": 175, "4": 60, "6": 4},
}


def shown(level: int) -> dict[str, set[str]]:
    """The tests of one version, and the statements that each names itself or in the tables it is run with."""
    tests = {}
    for path in sorted(HERE.glob(f"test_v{level}_*.py")):
        source = path.read_text("utf-8")
        tree = ast.parse(source)
        tables = {
            target.id: ast.get_source_segment(source, node) or ""
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                used = {
                    name.id for part in node.decorator_list for name in ast.walk(part) if isinstance(name, ast.Name)
                }
                text = " ".join([ast.get_docstring(node) or "", *(tables.get(name, "") for name in sorted(used))])
                name = f"{path.stem.removeprefix('test_')}.{node.name.removeprefix('test_')}"
                tests[name] = set(NUMBER.findall(text))
    return tests


@pytest.mark.parametrize("level", TABLES)
def test_every_statement_stands_in_the_table(level: int) -> None:
    assert Counter(number.split("-")[1].split(".")[0] for number in TABLES[level]) == COUNTS[level]


@pytest.mark.parametrize("level", TABLES)
def test_a_statement_names_a_test_that_names_it(level: int) -> None:
    tests = shown(level)
    wrong = {
        number: test
        for number, test in TABLES[level].items()
        if not isinstance(test, Reason) and number not in tests.get(test, set())
    }
    assert wrong == {}


@pytest.mark.parametrize("level", TABLES)
def test_no_statement_is_excused_that_a_test_shows(level: int) -> None:
    named = set().union(*shown(level).values())
    excused = {number for number, reason in TABLES[level].items() if isinstance(reason, Reason)}
    assert named & excused == set()


@pytest.mark.parametrize("level", TABLES)
def test_no_test_names_a_statement_that_there_is_not(level: int) -> None:
    invented = {name: numbers - TABLES[level].keys() for name, numbers in shown(level).items()}
    assert {name: numbers for name, numbers in invented.items() if numbers} == {}
