"""`rerun`: a report made again from its manifest, and whether every number came out again."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import FitError, StimdoseError
from .manifest import FROM_NOTHING, Manifest, check_room, differences, machine, posterior_sha256, read_manifest, sha256
from .outputs import make_folder
from .reports.findings import findings, options_of_values
from .reports.writing import write
from .settings import sources

SAME, CHANGED, LOST = "the same to the last digit", "differs", "was not made again"


@dataclass(frozen=True)
class Rerun:
    """What came of making a report again.

    path: of the new report.html. tables: one line for each table of the manifest: result (SAME, CHANGED or LOST), the largest difference as
        a share of the largest number of its column (`difference`, NaN if the old table is not beside its manifest, infinite where texts
        or rows differ), and the column `where`. same_draws: whether all draws are the same to the last digit. versions: what has
        another version now, as (before, now) by name. remarks: what one must know to read the rest.
    """

    path: Path
    tables: pd.DataFrame
    same_draws: bool
    versions: dict[str, tuple[str, str]]
    remarks: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether every number is the same to the last digit."""
        return self.same_draws and bool((self.tables["result"] == SAME).all())

    @property
    def explanation(self) -> str:
        """What agrees and what differs, in sentences."""
        differing = self.tables[self.tables["result"] != SAME]
        if self.agrees:
            lines = [f"Every number agrees: all draws, and {len(self.tables)} tables, are the same to the last digit."]
        else:
            lines = [
                f"The draws are {'the same' if self.same_draws else 'not the same'}; {len(differing)} of {len(self.tables)} tables differ."
            ]
        for name, line in differing.iterrows():
            lines.append(f"{name}: {_how(line)}.")
        lines += [f"{name} was {before}, and is {now}." for name, (before, now) in self.versions.items()]
        return "\n".join([*lines, *(f"{remark}." for remark in self.remarks)])


def _how(line: pd.Series) -> str:
    if line["result"] == LOST:
        return LOST
    if np.isnan(line["difference"]):
        return "differs; by how much cannot be said, because the table of the first report is not beside its manifest"
    if np.isinf(line["difference"]):
        return f"texts or rows differ ({line['where']})"
    return f"differs by up to {line['difference']:.2g} of the largest number in its column ({line['where']})"


def rerun(manifest: str | Path, folder: str | Path, *, progress: bool = False) -> Rerun:
    """Fit the model of a manifest to the table beside it, write the report again, and compare every number.

    manifest: the `manifest.json` of a report, or its folder. folder: another one, for the new report.

    Raises FitError for a file that is no manifest, for a table that was changed since, and StimdoseError for the folder of the first
    report, which would be lost.
    """
    before = read_manifest(manifest)
    if Path(folder).resolve() == before.path.parent.resolve():
        raise StimdoseError(f"{folder} holds the first report, which would be lost: name another folder (-o again)")
    try:
        options = options_of_values(before.report)
    except StimdoseError as error:
        raise FitError(f"{before.path} was edited, or is damaged: the options of the report are not its own ({error})") from None
    request, folder = before.request(), make_folder(folder)
    check_room(folder)
    fit = request.run(progress)
    path = write(findings(fit, options), folder)
    now = json.loads(fit.tree.attrs["versions"]) | {"sources": sources()}
    names = [*before.versions, *(name for name in now if name not in before.versions)]
    moved = {
        name: (str(before.versions.get(name)), str(now.get(name))) for name in names if before.versions.get(name) != now.get(name)
    }
    return Rerun(path, _compared(before, folder), posterior_sha256(fit) == before.posterior, moved, tuple(_remarks(before)))


def _compared(before: Manifest, folder: Path) -> pd.DataFrame:
    records = []
    for name, known in before.tables.items():
        old, new = before.path.parent / name, folder / name
        difference, where = np.nan, ""
        if not new.is_file():
            result = LOST
        elif sha256(new) == known:
            result, difference = SAME, 0.0
        else:
            result = CHANGED
            if old.is_file() and sha256(old) == known:
                difference, where = differences(old, new)
        records.append((name, result, difference, where))
    return pd.DataFrame(records, columns=["table", "result", "difference", "where"]).set_index("table")


def _remarks(before: Manifest) -> list[str]:
    found = []
    if before.started != FROM_NOTHING:
        found.append(
            f"The draws of the first report came {before.started}, which a manifest does not hold; these were sampled from nothing, so that "
            "numbers agree within their Monte Carlo error at best"
        )
    if before.machine != machine():
        found.append(
            f"The first report was made on {before.machine}, this one on {machine()}: the last digits of draws may differ"
        )
    return found
