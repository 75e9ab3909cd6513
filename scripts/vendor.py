"""Copies the browser's third-party files out of their npm packages into web/static/vendor.

Run it to take newer versions: change VERSIONS, run, look at the difference, commit. Nothing of npm
is needed to build, test or run the gateway. `vendor.json` says what each file is; a test re-hashes.
"""  # noqa: INP001  scripts are run, never imported

import hashlib
import json
import re
import subprocess  # noqa: TID251  a developer's script, not part of the gateway
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

TARGET = Path(__file__).resolve().parent.parent / "web" / "static" / "vendor"


class Package(NamedTuple):
    """One npm package and which of its files are taken, as {name here: path in the package}."""

    name: str
    version: str
    licence: str
    files: dict[str, str]


PACKAGES = (
    Package("htmx.org", "2.0.11", "0BSD", {"htmx.min.js": "dist/htmx.min.js"}),
    Package("htmx-ext-ws", "2.0.4", "0BSD", {"ws.min.js": "dist/ws.min.js"}),
    Package("idiomorph", "0.8.0", "0BSD", {"idiomorph-ext.min.js": "dist/idiomorph-ext.min.js"}),
    Package(
        "uplot",
        "1.6.32",
        "MIT",
        {"uPlot.iife.min.js": "dist/uPlot.iife.min.js", "uPlot.min.css": "dist/uPlot.min.css"},
    ),
    Package(
        "@fontsource-variable/inter",
        "5.3.0",
        "OFL-1.1",
        {"inter.woff2": "files/inter-latin-wght-normal.woff2"},
    ),
)

ICONS = Package("lucide-static", "1.62.0", "ISC", {"icons.svg": "icons"})
ICON_NAMES = (
    "activity",
    "arrow-up-right",
    "battery",
    "battery-low",
    "bell",
    "bell-off",
    "check",
    "chevron-right",
    "circle-alert",
    "circle-check",
    "clock",
    "copy",
    "cpu",
    "database",
    "download",
    "hard-drive",
    "inbox",
    "info",
    "key-round",
    "layout-dashboard",
    "list-checks",
    "log-out",
    "mail",
    "plus",
    "radio",
    "search",
    "send",
    "settings",
    "shield-check",
    "signal",
    "sun-moon",
    "terminal",
    "triangle-alert",
    "unplug",
    "user",
    "wifi-off",
    "x",
)


def main() -> None:
    """Fetch every package, copy its files and licence, and write `vendor.json`."""
    (TARGET / "licences").mkdir(parents=True, exist_ok=True)
    records: dict[str, dict[str, str]] = {}
    for package in (*PACKAGES, ICONS):
        with tempfile.TemporaryDirectory() as scratch, tarfile.open(fetched(package, Path(scratch))) as packed:
            if package is ICONS:
                taken = {"icons.svg": sprite(packed)}
            else:
                taken = {name: member(packed, path) for name, path in package.files.items()}
            licence = TARGET / "licences" / f"{package.name.rpartition('/')[2]}.txt"
            licence.write_bytes(member(packed, "LICENSE"))
        for name, content in taken.items():
            (TARGET / name).write_bytes(content)
            records[name] = {
                "package": package.name,
                "version": package.version,
                "licence": package.licence,
                "sha256": hashlib.sha256(content).hexdigest(),
            }
    text = json.dumps(dict(sorted(records.items())), indent=2)
    (TARGET / "vendor.json").write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(records)} files in {TARGET}\n")


def fetched(package: Package, folder: Path) -> Path:
    """The archive of an npm package, downloaded into the folder."""
    named = f"{package.name}@{package.version}"
    subprocess.run(["npm", "pack", "--silent", named], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607  the developer's own npm
    return next(folder.glob("*.tgz"))


def member(packed: tarfile.TarFile, path: str) -> bytes:
    """The content of one file of a package."""
    content = packed.extractfile(f"package/{path}")
    if content is None:
        raise FileNotFoundError(path)
    return content.read()


def sprite(packed: tarfile.TarFile) -> bytes:
    """The wanted icons as one SVG file of symbols."""
    symbols = []
    for name in ICON_NAMES:
        text = member(packed, f"icons/{name}.svg").decode().partition("<svg")[2]
        inner = re.sub(r"\s*\n\s*", "", text.partition(">")[2].rpartition("</svg>")[0])
        symbols.append(
            f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" '
            f'stroke-linecap="round" stroke-linejoin="round">{inner}</symbol>'
        )
    head = f"<!-- lucide-static {ICONS.version}, ISC -->"
    return f'{head}<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>\n'.encode()


if __name__ == "__main__":
    main()
