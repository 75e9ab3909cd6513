"""Files that are there whole or not at all: keys, certificates, bundles."""

import os
from pathlib import Path

from appliance.registry.model import KeyFolderError

UNFINISHED = ".unfinished"
"""The ending of a file that is being written; one that is found was left by a crash."""

PRIVATE = 0o600
PUBLIC = 0o644


def prepare_folder(folder: Path) -> None:
    """Make the folder, for its owner alone, and take away what a crash left half written."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True)
        sync_folder(folder.parent)
    for leftover in folder.glob("*" + UNFINISHED):
        leftover.unlink()


def write(path: Path, text: str, mode: int) -> None:
    """Put a file in place at once: after a power cut either the old or the new one is there, whole."""
    unfinished = path.with_name(path.name + UNFINISHED)
    unfinished.unlink(missing_ok=True)
    # The mode is given at creation: a key is never readable by others, not for a moment.
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """The content of a key file.

    Raises `KeyFolderError` when anyone on the machine may read it: a key like that is no secret.
    """
    mode = path.stat().st_mode & 0o777
    if mode & 0o007:
        raise KeyFolderError(f"{path}: anyone on this machine may read this key (mode {mode:o}), expected mode 600")
    return path.read_bytes()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
