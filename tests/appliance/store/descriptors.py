"""What files this process has open."""

import contextlib
from pathlib import Path


def open_count(path: Path) -> int:
    """How often this process has a file open, whatever its name is by now; `path` is one it still has."""
    wanted = path.stat()
    return _count(wanted.st_dev, wanted.st_ino)


def open_nameless_count(folder: Path) -> int:
    """How many files this process has open that were removed from a folder."""
    prefix, suffix = f"{folder.resolve()}/", " (deleted)"
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            name = str(descriptor.readlink())
            found += name.startswith(prefix) and name.endswith(suffix)
    return found


def _count(device: int, inode: int) -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found = descriptor.stat()
            count += (found.st_dev, found.st_ino) == (device, inode)
    return count
