"""One table names every kind of entry: the code writes no other, and the reference has the same."""

import ast
import re
from pathlib import Path

from appliance.audit.kinds import KINDS

ROOT = Path(__file__).parents[3]


def written_kinds() -> set[str]:
    """The first argument of every entry that the code makes; `_entry` passes on what it is given."""
    found: set[str] = set()
    for path in sorted(path for folder in ("appliance", "web") for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "class Entry(" in text:
            # Entries of another list.
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Entry", "_entry"}:
                first = node.args[0]
                assert isinstance(first, ast.Constant | ast.Name), f"{path}: which kind is it?"
                found |= {str(first.value)} if isinstance(first, ast.Constant) else set()
    return found


def test_the_table_has_every_kind_that_the_code_writes_and_no_other() -> None:
    written = written_kinds()
    assert written - set(KINDS) == set(), "add these to appliance/audit/kinds.py and docs/reference/audit.md"
    assert set(KINDS) - written == set(), "nothing writes these"


def test_the_reference_has_the_same_table() -> None:
    text = (ROOT / "docs/reference/audit.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| ([^|]+) \|", text, re.MULTILINE))
    assert documented == dict(KINDS)


def test_kinds_are_in_order_and_in_words() -> None:
    assert list(KINDS) == sorted(KINDS)
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", kind) and words[0].isupper() for kind, words in KINDS.items())
