"""A software token for tests: real PKCS #11, without the hardware."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.config import CaConfig

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711"

needs_softhsm = pytest.mark.skipif(
    not (MODULE.exists() and shutil.which("softhsm2-util")), reason="SoftHSM is not installed: apt-get install softhsm2"
)


class Shelf:
    """A folder of software tokens, which this process and those it starts find by the environment."""

    def __init__(self, folder: Path) -> None:
        self.tokens = folder / "tokens"
        self.tokens.mkdir(parents=True)
        self.pin_file = folder / "pin"
        self.show_pin(PIN)
        config = folder / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(config)

    def add(self, label: str) -> CaConfig:
        """A new token, and the settings that find it."""
        made = ("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "12345678")
        subprocess.run(made, check=True, capture_output=True, timeout=30)
        return CaConfig(str(MODULE), label, "issuing", str(self.pin_file))

    def show_pin(self, pin: str) -> None:
        # Another file each time, as an editor leaves it.
        written = self.pin_file.with_name("pin.new")
        written.write_text(pin + "\n")
        written.chmod(0o600)
        written.replace(self.pin_file)

    def take_away(self) -> None:
        """Unplug every token."""
        self.tokens.rename(self.tokens.with_name("elsewhere"))

    def bring_back(self) -> None:
        self.tokens.with_name("elsewhere").rename(self.tokens)
