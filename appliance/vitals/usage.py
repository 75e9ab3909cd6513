"""What the process takes of the machine, as Linux tells it.

Rules:
- To look takes a file descriptor for a moment, and strangers can take all there are. What cannot be told then is
  left out; how many are open is known just then.
"""

import errno
import resource
from pathlib import Path

from appliance.vitals.model import ProcessUse

OWN = Path("/proc/self")


def look(folder: Path = OWN) -> ProcessUse:
    """What it takes now. Raises `OSError` where the system has no such folder of processes."""
    taken = resource.getrusage(resource.RUSAGE_SELF)
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = None if soft_limit == resource.RLIM_INFINITY else soft_limit
    pages, page_bytes = _pages(folder), resource.getpagesize()
    return ProcessUse(
        cpu_s=taken.ru_utime + taken.ru_stime,
        resident_bytes=None if pages is None else pages[1] * page_bytes,
        virtual_bytes=None if pages is None else pages[0] * page_bytes,
        open_files=_open_files(folder, limit),
        open_files_limit=limit,
    )


def _pages(folder: Path) -> tuple[int, int] | None:
    """The pages of the address space, and those of them in memory."""
    try:
        virtual, resident = (folder / "statm").read_text(encoding="ascii").split()[:2]
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
        return None
    return int(virtual), int(resident)


def _open_files(folder: Path, limit: int | None) -> int | None:
    try:
        return sum(1 for _ in (folder / "fd").iterdir())
    except OSError as error:
        if error.errno == errno.EMFILE:
            # This very error says that there are as many as there may be.
            return limit
        if error.errno == errno.ENFILE:
            return None
        raise
