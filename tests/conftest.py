"""What every test shares: how laws are searched, and that what is compiled once is kept."""

import os
import sys

from hypothesis import HealthCheck, settings

# Stories start the product hundreds of times: where nothing may be kept, each start compiles half a thousand modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A busy machine is not a counter-example, so laws have no deadline; pytest's own time limit ends what hangs.
settings.register_profile("developer", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
# Continuous integration looks at the same examples every time: a change must not fail for what another one did.
settings.register_profile("integration", settings.get_profile("developer"), derandomize=True)
# HEADWORKS_TESTS=thorough looks longer, wherever a law does not say for itself how long.
settings.register_profile("thorough", settings.get_profile("developer"), max_examples=200)
if "HEADWORKS_TESTS" in os.environ:
    settings.load_profile(os.environ["HEADWORKS_TESTS"])
else:
    settings.load_profile("integration" if "CI" in os.environ else "developer")
