"""A PKCS #11 module whose calls do not come back while a file is there: SoftHSM behind a few lines of C."""

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from appliance.config import CaConfig
from tests.appliance.registry.hardware.softhsm import MODULE

needs_compiler = pytest.mark.skipif(
    not shutil.which("gcc"), reason="a C compiler makes the module that stalls: apt-get install gcc"
)

SOURCE = """
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

/* Of the list of functions (PKCS #11 5.2) what is asked here: a version, then pointers. */
enum { LOGIN = 18, SIGN = 43, COUNT = 68 };
typedef struct { unsigned char version[sizeof(void *)]; void *functions[COUNT]; } List;
typedef unsigned long (*Get)(List **);
typedef unsigned long (*Login)(unsigned long, unsigned long, unsigned char *, unsigned long);
typedef unsigned long (*Sign)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *);

static List list;
static Login real_login;
static Sign real_sign;

static void stall(void) { while (access(STALLS, F_OK) == 0) usleep(10000); }

static unsigned long login(unsigned long session, unsigned long user, unsigned char *pin, unsigned long length) {
    stall();
    return real_login(session, user, pin, length);
}

static unsigned long sign(unsigned long session, unsigned char *data, unsigned long length, unsigned char *signature,
                          unsigned long *signed_length) {
    stall();
    return real_sign(session, data, length, signature, signed_length);
}

unsigned long C_GetFunctionList(List **given) {
    if (!real_sign) {
        void *module = dlopen(MODULE, RTLD_NOW | RTLD_LOCAL);
        List *real;
        if (!module || ((Get)dlsym(module, "C_GetFunctionList"))(&real)) return 5;
        memcpy(&list, real, sizeof list);
        real_login = (Login)list.functions[LOGIN];
        real_sign = (Sign)list.functions[SIGN];
        list.functions[LOGIN] = (void *)login;
        list.functions[SIGN] = (void *)sign;
    }
    *given = &list;
    return 0;
}
"""


class Stalling:
    """The module, and the file that makes it stall."""

    def __init__(self, folder: Path) -> None:
        self.module = folder / "stalling.so"
        self._mark = folder / "stalls"
        # A copy has a state of its own, apart from that of the module which others in this process use.
        copied = shutil.copy(MODULE, folder / "copied.so")
        source = folder / "stalling.c"
        source.write_text(SOURCE)
        named = (f'-DMODULE="{copied}"', f'-DSTALLS="{self._mark}"')
        subprocess.run(
            ("gcc", "-shared", "-fPIC", "-O1", *named, "-o", str(self.module), str(source), "-ldl"),
            check=True,
            capture_output=True,
            timeout=60,
        )

    def settings(self, of: CaConfig) -> CaConfig:
        """These settings, with this module."""
        return msgspec.structs.replace(of, pkcs11_module=str(self.module))

    def begin(self) -> None:
        self._mark.touch()

    def end(self) -> None:
        self._mark.unlink(missing_ok=True)
