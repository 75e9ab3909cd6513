"""Static files under names that hold the hash of their content, so that browsers keep them for good.

All of them together are some hundred kilobytes: they are read, and compressed, once.
"""

import gzip
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
    ".json": "application/json",
}
COMPRESSED = {".css", ".js", ".svg"}
PREFIX = "/static/"

_REFERENCE = re.compile(r'url\("?([\w./-]+)"?\)')


class Asset(NamedTuple):
    """One static file as it is sent."""

    media_type: str
    content: bytes
    zipped: bytes | None
    """The same, compressed with gzip; None for what is compressed already."""


class Assets:
    """The static files of a folder, by the name that the outside uses."""

    def __init__(self, folder: Path) -> None:
        self._names: dict[str, str] = {}
        self._assets: dict[str, Asset] = {}
        paths = [path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES and path.name != "vendor.json"]
        # Style sheets name other files and so come last, those of others before our own.
        for path in sorted(paths, key=lambda path: (path.suffix == ".css", path.parent == folder, path.name)):
            self._add(path.relative_to(folder).as_posix(), path.suffix, path.read_bytes())

    def url(self, name: str) -> str:
        """The address of a file, for example `/static/app.1f2e3d4c5b.css` for `app.css`."""
        return PREFIX + self._names[name]

    def find(self, hashed_name: str) -> Asset | None:
        """The file of this address, None when there is none."""
        return self._assets.get(hashed_name)

    def _add(self, name: str, suffix: str, content: bytes) -> None:
        if suffix == ".css":
            text = content.decode()
            content = _REFERENCE.sub(lambda match: f'url("{self.url(match[1])}")', text).encode()
        digest = hashlib.sha256(content).hexdigest()[:12]
        hashed_name = f"{name.removesuffix(suffix)}.{digest}{suffix}"
        zipped = gzip.compress(content, 9, mtime=0) if suffix in COMPRESSED else None
        self._names[name] = hashed_name
        self._assets[hashed_name] = Asset(MEDIA_TYPES[suffix], content, zipped)
