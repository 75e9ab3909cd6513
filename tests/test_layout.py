"""The tree is laid out as docs/architecture.md says: mirrored tests, small files, room files with known names."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("appliance", "broker", "web", "firmware_store")
OTHERS = ("tests", "bench", "scripts")
LINES_LIMIT = 400


def _sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _holds_code(path: Path) -> bool:
    """Whether a file does something: declarations and the methods of a protocol do nothing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _acts(node) for node in ast.walk(tree))


def _acts(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return not all(isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant) for step in function.body)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _test_of(module: Path) -> Path:
    name = module.stem if module.stem != "__main__" else "main"
    return ROOT / "tests" / module.relative_to(ROOT).parent / f"test_{name}.py"


def _tests_something(test: Path) -> bool:
    # A state machine of Hypothesis is a test by its own name.
    text = test.read_text(encoding="utf-8") if test.exists() else ""
    return "def test_" in text or ".TestCase" in text


def _has_its_module(test: Path) -> bool:
    inside = test.relative_to(ROOT / "tests").parent
    name = test.stem.removeprefix("test_")
    # A folder, and a file that is not Python, may have a test of its own.
    found = [*(ROOT / inside).glob(f"{name}*"), *(ROOT / inside).glob(f"__{name}__.py")]
    return name in {path.stem.strip("_") for path in found}


def test_a_module_that_has_code_has_its_test_at_the_mirrored_path() -> None:
    modules = [path for path in _sources(*PACKAGES) if _holds_code(path)]
    assert len(modules) > 100
    assert [_name(path) for path in modules if not _tests_something(_test_of(path))] == []


def test_a_test_has_its_module_at_the_mirrored_path() -> None:
    tests = [path for path in _sources(*(f"tests/{package}" for package in PACKAGES)) if path.match("test_*.py")]
    assert len(tests) > 100
    assert [_name(path) for path in tests if not _has_its_module(path)] == []


def test_no_file_is_too_long_to_read() -> None:
    """Whichever is does more than one thing."""
    counts = {_name(path): len(path.read_bytes().splitlines()) for path in _sources(*PACKAGES, *OTHERS)}
    assert {name: count for name, count in counts.items() if count > LINES_LIMIT} == {}


def test_every_module_opens_with_a_sentence_of_purpose() -> None:
    silent = [_name(path) for path in _sources(*PACKAGES) if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


def test_migrations_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (ROOT / "appliance/store/migrations").glob("*.sql"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


def test_nothing_names_this_machine_or_a_registry() -> None:
    """Lock files and scripts must work anywhere, so they hold no address they were made with."""
    for name in ("headworks", ".ci/run", "requirements.lock", "requirements-dev.lock", "pyproject.toml", "Dockerfile"):
        # The health check of the image asks the gateway in the same container.
        text = (ROOT / name).read_text(encoding="utf-8").replace("https://127.0.0.1", "")
        for forbidden in ("://", "/root/", "--index-url", "--find-links"):
            assert forbidden not in text, f"{name} holds {forbidden}"
