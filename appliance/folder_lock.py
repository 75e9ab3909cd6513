"""One gateway on a data folder, and its files those of one user."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from appliance.errors import ApplianceError


class FolderInUseError(ApplianceError):
    """Another gateway runs on this data folder."""

    code = "folder_in_use"


class FolderOwnerError(ApplianceError):
    """The data folder belongs to another user than the one who asks."""

    code = "folder_owner"


@contextlib.contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Keep every other gateway off a data folder.

    Raises `FolderInUseError` when one is already on it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        # Files made by another user, root included, would lock the gateway out of its own folder.
        raise FolderOwnerError(f"{folder} belongs to the user {owner}: run this as that user, for example by sudo -u")
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(f"a gateway already runs on {folder}") from None
        yield
