"""What every test shares: how laws are searched."""

import os

from hypothesis import HealthCheck, settings

# A busy machine is not a counter-example, so laws have no deadline; pytest's own time limit ends what hangs.
settings.register_profile("developer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Continuous integration looks at the same examples every time: a change must not fail for what another one did.
settings.register_profile("integration", settings.get_profile("developer"), derandomize=True)
settings.load_profile("integration" if "CI" in os.environ else "developer")
