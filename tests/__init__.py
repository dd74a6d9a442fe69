"""The tests. What hypothesis draws is bounded by a count and never by a clock: a busy machine is no finding.

With CI in the environment the draws are the same each time, since there a change is judged and not luck.
"""

import os

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # other authors' environments run programs of tests/peers
    pass
else:
    settings.register_profile(
        "txigd",
        deadline=None,
        derandomize=bool(os.environ.get("CI")),
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("txigd")
