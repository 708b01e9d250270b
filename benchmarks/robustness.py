"""Does a default fit converge, whatever the table? TABLES generated tables of 30 studies, seeds 0, 1, ...: R-hat <= 1.01 and ESS >= 400
(bulk and tail) of the best dose, and of everything the diagnosis looks at; divergences; seconds of the whole fit.

Prints one JSON line. Usage: python benchmarks/robustness.py [--model bell|stimulation] [--tables 40] [--smoke]
"""

import argparse
import warnings

from common import bell_model, counted, read, say, show, spread_of, timed
from tables import bell_numbers

import stimdose as sd

STUDIES = 30
SETTINGS = {"draws": 1000, "tune": 1000, "chains": 4, "progress": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["bell", "stimulation"], default="bell", help="of vs_brms.py, or the shipped one")
    parser.add_argument("--tables", type=int, default=40)
    parser.add_argument("--smoke", action="store_true", help="two tables")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", sd.ConvergenceWarning)  # what fails is counted
    seconds, tables = [], 2 if asked.smoke else asked.tables

    def fits():
        for seed in range(tables):
            numbers = bell_numbers(STUDIES, seed)
            model = bell_model(numbers) if asked.model == "bell" else sd.load_model(asked.model)
            fit, taken = timed(sd.fit, model, read(numbers), seed=seed + 1, **SETTINGS)
            seconds.append(taken)
            if fit.diagnosis.divergences or not fit.diagnosis.converged:
                say(f"table {seed}: {fit.diagnosis.message}")
            yield fit

    found = counted(fits())
    show(
        {"benchmark": "robustness", "model": asked.model, "tables": tables, "studies": STUDIES}
        | {name: value for name, value in SETTINGS.items() if name != "progress"}
        | found
        | {"seconds": spread_of(seconds[1:]), "first_s": round(seconds[0], 3)}
    )


if __name__ == "__main__":
    main()
