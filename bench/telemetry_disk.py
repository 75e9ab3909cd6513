"""A disk as slow as a worn card, by a library that is loaded before all others and waits in `fsync` and `fdatasync`."""

import os
import shutil
from pathlib import Path

from bench.children import run

SYNC_MS = 20
STALL_MS = 500
STALL_EVERY = 50
SECTOR_BYTES = 512
_SECTORS_WRITTEN = 6

_SOURCE = f"""\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <time.h>

static atomic_uint count;

static void wait_for_the_card(void)
{{
    unsigned number = atomic_fetch_add(&count, 1) + 1;
    long ms = {SYNC_MS} + (number % {STALL_EVERY} == 0 ? {STALL_MS} : 0);
    struct timespec left = {{ ms / 1000, ms % 1000 * 1000000L }};
    while (nanosleep(&left, &left) != 0) {{ }}
}}

int fsync(int file)
{{
    int (*next)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");
    wait_for_the_card();
    return next(file);
}}

int fdatasync(int file)
{{
    int (*next)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    wait_for_the_card();
    return next(file);
}}
"""


def slow_library(folder: Path) -> Path | None:
    """Compile the library into a folder; None when there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    source, library = folder / "slow_disk.c", folder / "slow_disk.so"
    source.write_text(_SOURCE, encoding="utf-8")
    run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"])
    return library


def slowed(command: list[str], library: Path) -> list[str]:
    """The command with a slow disk."""
    return ["env", f"LD_PRELOAD={library}", *command]


def device_written_bytes(folder: Path) -> int | None:
    """What was written so far, by everybody, to the device that a folder lies on; None when Linux does not say."""
    number = folder.stat().st_dev
    path = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    if not path.exists():
        return None
    return int(path.read_text(encoding="utf-8").split()[_SECTORS_WRITTEN]) * SECTOR_BYTES
