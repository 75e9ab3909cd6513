"""What the process takes of the machine, as Linux tells it."""

import resource
from pathlib import Path

from appliance.vitals.model import ProcessUse

OWN = Path("/proc/self")


def look(folder: Path = OWN) -> ProcessUse:
    """What it takes now. Raises `OSError` where the system has no such folder of processes."""
    virtual_pages, resident_pages = (folder / "statm").read_text(encoding="ascii").split()[:2]
    page_bytes = resource.getpagesize()
    taken = resource.getrusage(resource.RUSAGE_SELF)
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ProcessUse(
        cpu_s=taken.ru_utime + taken.ru_stime,
        resident_bytes=int(resident_pages) * page_bytes,
        virtual_bytes=int(virtual_pages) * page_bytes,
        open_files=sum(1 for _ in (folder / "fd").iterdir()),
        open_files_limit=None if soft_limit == resource.RLIM_INFINITY else soft_limit,
    )
