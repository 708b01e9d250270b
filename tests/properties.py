"""How many examples property-based tests draw: few and always the same, or STIMDOSE_EXAMPLES times as many, and others on every run."""

import os

from hypothesis import HealthCheck, Phase, settings

TIMES = int(os.environ.get("STIMDOSE_EXAMPLES", "1"))


def examples(number: int):
    return settings(
        max_examples=number * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
