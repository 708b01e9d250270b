"""An empty trials table to fill in, and the data dictionary. `python -m stimdose.template` prints the page of the docs."""

import csv
import io
from collections.abc import Iterable

from openpyxl import Workbook
from openpyxl.comments import Comment
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from .columns import COLUMNS, KINDS, STATISTICS, TIMES, Column
from .scales import SCALES, Difference

CORE = tuple(
    "study arm outcome timepoint followup_days direction measure comparator design score "
    "modality protocol_class target site hemisphere frequency_hz pulses_per_session session_min sessions treatment_days "
    "intensity_percent_rmt intensity_percent_mso population phase days_since_stroke baseline_severity cotherapy "
    "n_active mean_active sd_active n_control mean_control sd_control effect se ci_low ci_high p_value "
    "control_group sample risk_of_bias source note".split()
)
"""The columns of the short template."""

ROWS = 1000
"""Drop-down lists reach to this row of the sheet."""

EXAMPLE = """\
study,arm,outcome,timepoint,direction,measure,comparator,design,score,modality,target,frequency_hz,session_min,sessions,population,phase
Synthetic A,,FMA-UE,end of treatment,higher,SMD,sham,parallel,final,rPMS,muscle,20,15,10,stroke,chronic
Synthetic B,5 Hz,FMA-UE,end of treatment,higher,SMD,sham,parallel,final,rPMS,nerve,5,10-15,>=12,stroke,subacute
Synthetic B,25 Hz,FMA-UE,end of treatment,higher,SMD,sham,parallel,final,rPMS,nerve,25,10-15,>=12,stroke,subacute
"""
EXAMPLE_EFFECTS = """\
n_active,mean_active,sd_active,n_control,mean_control,sd_control,effect,ci_low,ci_high,control_group,source,note
20,31.4,11.2,18,27.9,10.6,,,,,made up,synthetic: no such trial
21,,,20,,,0.21,-0.41,0.83,sham,made up,synthetic: no such trial
20,,,20,,,0.48,-0.15,1.11,sham,made up,synthetic: no such trial
"""
"""Made-up rows, in two halves: arm means, and two arms against one sham with printed effects."""


def template_csv(every: bool = False) -> str:
    """The header of an empty table: the usual columns, or every column of the vocabulary."""
    return ",".join(COLUMNS if every else CORE) + "\n"


def template_workbook(every: bool = False) -> bytes:
    """An Excel workbook: the empty table, the data dictionary, and a few made-up rows as an example.

    Closed vocabularies have drop-down lists. Cells of words and doses are text, so that 10-20 does not become a date.
    """
    columns = [COLUMNS[name] for name in (COLUMNS if every else CORE)]
    book = Workbook()
    _table_sheet(book.active, "trials", columns)
    _dictionary_sheet(book.create_sheet("dictionary"))
    example = book.create_sheet("example")
    _table_sheet(example, "example", columns)
    halves = (csv.DictReader(io.StringIO(half)) for half in (EXAMPLE, EXAMPLE_EFFECTS))
    for line, (left, right) in enumerate(zip(*halves, strict=True), start=2):
        for k, column in enumerate(columns, start=1):
            if value := (left | right).get(column.name):
                example.cell(line, k, value if _is_text(column) else float(value)).number_format = _format(column)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def allowed(column: Column) -> str:
    """The values a cell of the column may hold, in words."""
    if column.levels:
        return ", ".join(column.levels)
    if not column.is_numeric:
        return "text"
    bounds = [f"{'above' if column.open_low else 'at least'} {column.low:g}"] if column.low not in (None, float("-inf")) else []
    bounds += [] if column.high is None else [f"below {column.high:g}"]
    kind = "number, interval or open end" if column.kind == "dose" else "number"
    return f"{kind}, {' and '.join(bounds)}" if bounds else kind


def _is_text(column: Column) -> bool:
    return column.kind == "dose" or not column.is_numeric


def _format(column: Column) -> str:
    return "@" if _is_text(column) else "General"


def _table_sheet(sheet: Worksheet, title: str, columns: list[Column]) -> None:
    sheet.title, sheet.freeze_panes = title, "B2"
    for k, column in enumerate(columns, start=1):
        letter = get_column_letter(k)
        head = sheet.cell(1, k, column.name)
        head.font = Font(bold=True)
        head.comment = Comment(_comment(column), "stimdose", width=300, height=120)
        if column.required:
            head.fill = PatternFill("solid", fgColor="FFE699")
        sheet.column_dimensions[letter].width = max(12, len(column.name) + 2)
        sheet.column_dimensions[letter].number_format = _format(column)
        if column.levels:
            choice = DataValidation(type="list", formula1=f'"{",".join(column.levels)}"', allow_blank=True, showErrorMessage=True)
            choice.error = f"{column.name} is one of {', '.join(column.levels)}"
            choice.add(f"{letter}2:{letter}{ROWS}")
            sheet.add_data_validation(choice)


def _comment(column: Column) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.meaning}{unit}\n{allowed(column)}{'; required' if column.required else ''}"


def _dictionary_sheet(sheet: Worksheet) -> None:
    sheet.append(["name", "unit", "meaning", "allowed values", "required", "kind", "checklist item"])
    for column in COLUMNS.values():
        required = "yes" if column.required else ""
        sheet.append([column.name, column.unit, column.meaning, allowed(column), required, column.kind, column.item])
    sheet.freeze_panes, sheet.auto_filter.ref = "B2", sheet.dimensions
    for letter, width in zip("ABCDEFG", (28, 22, 80, 50, 10, 14, 16), strict=True):
        sheet.column_dimensions[letter].width = width
        sheet[f"{letter}1"].font = Font(bold=True)
    for row in sheet.iter_rows(min_row=2):
        for cell in row:
            cell.alignment = Alignment(wrap_text=True, vertical="top")


def dictionary_page() -> str:
    """The data dictionary as Markdown: the columns by kind, then the outcome scales."""
    parts = [
        "# Data dictionary",
        "Every column that stimdose knows, and the outcome scales. Other columns pass through and can be moderators. "
        "`stimdose template -o trials.xlsx` writes a table to fill in. "
        "This page is made by `python -m stimdose.template > docs/data-dictionary.md`.",
    ]
    for kind, meaning in KINDS.items():
        parts += [
            f"## {kind.capitalize()}",
            f"{meaning[0].upper()}{meaning[1:]}.",
            _arm_table() if kind == "arm" else _column_table(kind),
        ]
    parts += ["## Outcome scales", _scale_table(), "## Minimal important differences", _difference_table()]
    parts += [
        "Checklist items: Chipchase 2012 (doi 10.1016/j.clinph.2012.05.003), TIDieR (doi 10.1136/bmj.g1687), "
        "CONSORT 2010 (doi 10.1136/bmj.c332), RoB 2 (doi 10.1136/bmj.l4898)."
    ]
    return "\n\n".join(parts) + "\n"


def _markdown(header: str, rows: Iterable[Iterable[str]]) -> str:
    names = header.split(" | ")
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _column_table(kind: str) -> str:
    columns = [column for column in COLUMNS.values() if column.kind == kind]
    items = any(column.item for column in columns)
    rows = [
        [
            f"`{column.name}`" + (" (required)" if column.required else ""),
            column.meaning,
            column.unit,
            allowed(column),
            *([column.item] if items else []),
        ]
        for column in columns
    ]
    return _markdown("column | meaning | unit | values" + (" | checklist item" if items else ""), rows)


def _arm_table() -> str:
    """The statistics of an arm, each once: they repeat for both arms, and before treatment, at the end and for the change."""
    prefixes = ", ".join(f"`{prefix}` ({when})" for prefix, when in TIMES.items() if prefix)
    rows = [
        [f"`{name}_active`, `{name}_control`", COLUMNS[f"{name}_active"].meaning.replace("the active", "each")]
        for name in ("n", "events")
    ]
    rows += [[f"`{name}_active`, `{name}_control`", f"{words}, outcome units"] for name, words in STATISTICS.items()]
    note = f"All but `n` and `events` also with a prefix: {prefixes}; without one they are {TIMES['']}."
    return f"{note}\n\n{_markdown('columns | meaning', rows)}"


def _scale_table() -> str:
    rows = [
        [f"`{scale.name}`", scale.title, f"{scale.low:g} to {scale.high:g} {scale.unit}", scale.direction, scale.note]
        for scale in SCALES.values()
    ]
    return _markdown("scale | name | range | better | note", rows)


def _difference_table() -> str:
    def size(difference: Difference) -> str:
        low, high = f"{difference.low:g}", f"{difference.high:g}"
        return low if low == high else f"{low} to {high}"

    rows = [
        [f"`{scale.name}`", f"{size(found)} {scale.unit}", found.population, f"{found.source}, doi {found.doi}", found.note]
        for scale in SCALES.values()
        for found in scale.differences
    ]
    return _markdown("scale | difference | population | source | note", rows)


if __name__ == "__main__":
    print(dictionary_page(), end="")
