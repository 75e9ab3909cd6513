#!/usr/bin/env python3
"""Renders the documentation as HTML into build/docs, and refuses links that lead nowhere."""

import html
import re
import shutil
import sys
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "build/docs"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif }}
body {{ max-width: 48rem; margin: 2rem auto; padding: 0 1rem }}
pre, code {{ font-family: ui-monospace, monospace; font-size: .9em }}
pre {{ overflow-x: auto; padding: .8rem; border: 1px solid #8886; border-radius: .4rem }}
table {{ border-collapse: collapse }} th, td {{ border: 1px solid #8886; padding: .3rem .6rem; text-align: left }}
img {{ max-width: 100% }}
</style></head><body>
{body}
</body></html>
"""


def pages() -> list[Path]:
    """Every document of the repository."""
    return sorted(
        [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changes/*.md"), *ROOT.glob("bench/*.md")]
    )


def broken_links(page: Path) -> list[str]:
    """The relative links of a document that lead to nothing."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return [target for target in targets if "://" not in target and not (page.parent / target).exists()]


def main() -> int:
    """Render everything; 1 when a link is broken."""
    broken = [f"{page.relative_to(ROOT)}: {target}" for page in pages() for target in broken_links(page)]
    for line in broken:
        sys.stderr.write(f"broken link in {line}\n")
    shutil.rmtree(TARGET, ignore_errors=True)
    markdown = MarkdownIt().enable("table")
    for page in pages():
        inside = page.relative_to(ROOT)
        text = page.read_text(encoding="utf-8")
        title = next((line.lstrip("# ") for line in text.splitlines() if line.startswith("# ")), inside.stem)
        body = re.sub(r'(href="(?!\w+:)[^"]*)\.md(["#])', r"\1.html\2", markdown.render(text))
        target = (TARGET / inside).with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(PAGE.format(title=html.escape(title), body=body), encoding="utf-8")
    for program in ROOT.glob("docs/**/*.py"):
        shutil.copy(program, TARGET / program.relative_to(ROOT))
    if (ROOT / "docs/images").exists():
        shutil.copytree(ROOT / "docs/images", TARGET / "docs/images", dirs_exist_ok=True)
    sys.stdout.write(f"{TARGET.relative_to(ROOT)}/README.html\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
