"""The vocabulary: every column stimdose knows, with unit, meaning and allowed values. The data dictionary is printed from it."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from .checklists import REPORTING, ROB_DOMAINS

KINDS = {
    "identity": "what tells rows apart, and which rows belong together",
    "estimand": "what the effect means",
    "effect": "the comparison as printed",
    "arm": "what is printed of each arm",
    "participant": "scores of one person, in rows whose design is 'participant' and whose study is the centre or trial",
    "assumption": "correlations that the paper prints or you assume; rows that need one and lack it are named",
    "dose": "how much: a number, an interval (12-15) or an open end (>=21, <5)",
    "spread": "how doses differ among the people of a row: the row then estimates the mean effect over their doses",
    "protocol": "the pattern of stimulation within a session",
    "moderator": "who was treated, and where",
    "reporting": "how the trial was done: fields of the reporting checklists",
    "risk of bias": "judgements by RoB 2",
    "text": "the rest, kept as printed",
}
NUMERIC_KINDS = ("effect", "arm", "participant", "assumption", "dose", "spread", "protocol")
PARTICIPANT = "participant"
"""Design of a row that is one person."""
ROB_LEVELS = ("low", "some concerns", "high")


@dataclass(frozen=True)
class Column:
    """One known column of a trials table.

    kind: one of KINDS. low and high bound the values (low itself not if `open_low`; high never). For doses, `usual` is the range
    that holds about 95 % of protocols in use (it centres default priors), `reference` the dose at which default priors are stated,
    and `true_zero` whether dose zero means no stimulation. `item` is the item of a reporting checklist that asks for the column.
    """

    name: str
    kind: str
    meaning: str
    unit: str = ""
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    required: bool = False
    usual: tuple[float, float] | None = None
    reference: float | None = None
    true_zero: bool = True
    item: str = ""

    @property
    def label(self) -> str:
        """Name for an axis: the words of the name, its unit in brackets."""
        return AXIS_LABELS.get(self.name) or self.name.replace("_", " ").capitalize()

    @property
    def is_numeric(self) -> bool:
        return self.kind in NUMERIC_KINDS or self.low is not None


def _text(name: str, kind: str, meaning: str, **more) -> Column:
    return Column(name, kind, meaning, **more)


def _number(name: str, kind: str, meaning: str, unit: str = "", low: float = float("-inf"), **more) -> Column:
    return Column(name, kind, meaning, unit, low=low, **more)


def _correlation(name: str, meaning: str) -> Column:
    return _number(name, "assumption", meaning, low=-1.0, high=1.0)


def _dose(name: str, meaning: str, unit: str, usual: tuple[float, float], reference: float, item="TIDieR 8", **more) -> Column:
    return Column(name, "dose", meaning, unit, low=0.0, usual=usual, reference=reference, item=item, **more)


STATISTICS = {
    "mean": "mean",
    "sd": "standard deviation",
    "se": "standard error of the mean",
    "ci_low": "lower confidence limit of the mean (at ci_level)",
    "ci_high": "upper confidence limit of the mean (at ci_level)",
    "median": "median",
    "q1": "first quartile",
    "q3": "third quartile",
    "min": "smallest value",
    "max": "largest value",
}
TIMES = {"": "at the end", "baseline_": "before treatment", "change_": "of the change from baseline"}


def _arm_summaries() -> list[Column]:
    columns = []
    for arm in ("active", "control"):
        columns.append(_number(f"n_{arm}", "arm", f"people analysed in the {arm} arm", "people", low=1.0))
        columns.append(_number(f"events_{arm}", "arm", f"people with the event in the {arm} arm", "people", low=0.0))
        for (prefix, when), (statistic, words) in itertools.product(TIMES.items(), STATISTICS.items()):
            positive = {"low": 0.0, "open_low": True} if statistic in ("sd", "se") else {}
            columns.append(
                _number(f"{prefix}{statistic}_{arm}", "arm", f"{words} {when}, {arm} arm", "outcome units", **positive)
            )
    return columns


COLUMNS: dict[str, Column] = {
    column.name: column
    for column in [
        _text("study", "identity", "name of the trial; rows with the same name share a study effect", required=True),
        _text("outcome", "identity", "outcome scale, such as FMA-UE or MAS"),
        _text("arm", "identity", "name of the arm or group, where one trial gives several rows"),
        _text("timepoint", "identity", "when the outcome was measured"),
        _number("followup_days", "identity", "days from the start of treatment to the measurement", "days", low=0.0),
        _text(
            "control_group",
            "identity",
            "rows of a study with the same value share a control arm; rows of one `sample` have one, named in any of them",
        ),
        _text("sample", "identity", "rows of a study with the same value were measured on the same people"),
        _text("participant", "identity", "name or number of the person, where a row is one participant; it may be left empty"),
        _text("direction", "estimand", "whether a higher or a lower score is better", levels=("higher", "lower"), required=True),
        _text(
            "measure",
            "estimand",
            "effect measure: SMD (Hedges g), MD (mean difference), SMCC or SMCR (standardised mean change), MC (mean change), "
            "ROM (log ratio of means), ROMC (log ratio of the means after and before, within a group), logOR, logRR",
            levels=("SMD", "MD", "SMCC", "SMCR", "MC", "ROM", "ROMC", "logOR", "logRR"),
            required=True,
        ),
        _text(
            "comparator",
            "estimand",
            "what the active arm is compared with; 'sham or add-on' where a source pools both or does not say which; "
            "'none' for change within a group",
            levels=("sham", "add-on", "sham or add-on", "active", "none"),
            required=True,
        ),
        _text(
            "design",
            "estimand",
            "where the row comes from; 'stratum' is a pooled effect of several trials, 'participant' one person",
            levels=("parallel", "crossover", "within-group", "stratum", PARTICIPANT),
            required=True,
        ),
        _text("score", "estimand", "scores at the end, or changes from baseline", levels=("change", "final")),
        _number("effect", "effect", "effect as printed: active minus control, or change of the group", "of the measure"),
        _number("se", "effect", "standard error of the effect", "of the measure", low=0.0, open_low=True),
        _number("variance", "effect", "sampling variance of the effect", "of the measure, squared", low=0.0, open_low=True),
        _number("ci_low", "effect", "lower confidence limit of the effect", "of the measure"),
        _number("ci_high", "effect", "upper confidence limit of the effect", "of the measure"),
        _number("ci_level", "effect", "level of the confidence interval, 0.95 if empty", low=0.0, high=1.0, open_low=True),
        _number("t_value", "effect", "t statistic of the comparison"),
        _text(
            "p_value", "text", "two-sided p value as printed: a number recovers a standard error, a bound such as <0.05 does not"
        ),
        *_arm_summaries(),
        _number("score_before", "participant", "score of the participant before treatment", "outcome units"),
        _number("score_after", "participant", "score of the participant after it", "outcome units"),
        _correlation(
            "pre_post_r", "correlation of one person's two measurements: before and after, or two periods of a crossover"
        ),
        _correlation(
            "outcome_correlation", "correlation, within people, of effects on two outcomes of a `sample`, both as benefit"
        ),
        _correlation(
            "time_correlation",
            "correlation, within people, of effects at two time points of a `sample`: of points `time_correlation_days` apart "
            "(it decays with the days between, and is at least 0) where both `followup_days` and `time_correlation_days` are given, "
            "else of any two",
        ),
        _number(
            "time_correlation_days", "assumption", "days apart at which time_correlation holds", "days", low=0.0, open_low=True
        ),
        _number(
            "control_correlation",
            "assumption",
            "correlation of two contrasts with one control, where arm sizes are unknown; 0.5 if equal",
            low=0.0,
            high=1.0,
        ),
        _number("cluster_size", "assumption", "mean number of people in a randomised cluster", "people", low=1.0),
        _number("icc", "assumption", "intracluster correlation", low=0.0, high=1.0),
        _text("modality", "moderator", "rTMS, iTBS, cTBS, rPMS, ..."),
        _text(
            "protocol_class",
            "moderator",
            "transcranial protocols as reviews group them; 'combined' where one row holds low and high frequency; filled from modality and "
            "frequency (low: at most 1 Hz, high: at least 5 Hz) where empty",
            levels=("low", "high", "combined", "iTBS", "cTBS", "QPS", "other"),
        ),
        _dose("frequency_hz", "stimulation frequency", "Hz", (1, 50), 10, open_low=True, true_zero=False),
        _dose("pulses_per_session", "pulses in one session", "pulses", (200, 6000), 1000),
        _dose("session_min", "length of one session", "minutes", (3, 60), 20),
        _dose("sessions", "number of sessions", "sessions", (3, 40), 10),
        _dose("total_pulses", "pulses over the whole treatment", "pulses", (1000, 100000), 10000),
        _dose("treatment_days", "days from first to last session", "days", (3, 60), 14),
        _dose("intensity_percent_rmt", "intensity, percent of resting motor threshold", "% RMT", (60, 130), 100, "Chipchase 18"),
        _dose("intensity_percent_mso", "intensity, percent of maximum stimulator output", "% MSO", (10, 90), 50, "Chipchase 18"),
        _dose("therapy_hours", "scheduled therapy over the whole treatment", "hours", (1, 150), 20),
        _number("train_s", "protocol", "length of one train", "s", low=0.0, open_low=True, item="TIDieR 8"),
        _number("intertrain_s", "protocol", "pause between two trains", "s", low=0.0, item="TIDieR 8"),
        _number("trains", "protocol", "trains in one session", "trains", low=0.0, open_low=True, item="TIDieR 8"),
        _number("on_time_s", "protocol", "time in a session in which trains run", "s", low=0.0, open_low=True, item="TIDieR 8"),
        _text("site", "moderator", "where the coil is, in the words of the paper"),
        _text(
            "target",
            "moderator",
            "what is stimulated; 'spinal' is cord or roots, 'mixed' more than one",
            levels=("cortex", "cerebellum", "spinal", "nerve", "muscle", "mixed"),
        ),
        _text("hemisphere", "moderator", "hemisphere under the coil", levels=("affected", "unaffected", "both")),
        _text("population", "moderator", "who was treated: stroke, children with cerebral palsy, neuropathic pain, ..."),
        _text(
            "phase",
            "moderator",
            "time since stroke; 'mixed' where a trial pools phases",
            levels=("acute", "subacute", "chronic", "mixed"),
        ),
        _number("days_since_stroke", "moderator", "days from stroke to the start of treatment", "days", low=0.0),
        _number("baseline_severity", "moderator", "severity before treatment, on the scale the table states"),
        _text("cotherapy", "moderator", "therapy given to both arms"),
        *(_text(name, "reporting", meaning, item=item) for name, meaning, item in REPORTING),
        _number("age_years", "reporting", "mean age", "years", low=0.0, item="Chipchase 1"),
        _number("female_percent", "reporting", "share of women and girls", "%", low=0.0, item="Chipchase 2"),
        _text("risk_of_bias", "risk of bias", "overall judgement, such as low, some concerns, high", item="RoB 2 overall"),
        *(
            _text(f"rob_{domain}", "risk of bias", meaning, levels=ROB_LEVELS, item=f"RoB 2 D{k}")
            for k, (domain, meaning) in enumerate(ROB_DOMAINS.items(), start=1)
        ),
        _number("k_studies", "text", "number of trials behind a stratum", "trials", low=1.0),
        _text("source", "text", "where the numbers were read"),
        _text("note", "text", "doubts and remarks"),
    ]
}

DOSES = tuple(name for name, column in COLUMNS.items() if column.kind == "dose")
COLUMNS |= {
    f"{name}_sd": _number(
        f"{name}_sd",
        "spread",
        f"standard deviation of {name} between the people of the row; their mean stands in {name}",
        COLUMNS[name].unit,
        low=0.0,
    )
    for name in DOSES
}
UNKNOWN = ("lacks", "effect_r0", "effect_r_slope", "variance_r0", "variance_r_slope", "effect_sd1", "variance_sd1", "pooled_sd")
"""What Trials keeps of rows that lack the correlation r ("r" in `lacks`; "r, stated" where a model cannot draw it) or a standard
deviation ("sd"); other words in `lacks` say why a row has no effect. Where r is missing: effect = effect_r0 / sqrt(1 -
effect_r_slope r) and variance = variance_r0 - variance_r_slope r. Where the SD is missing: effect = effect_sd1 / SD and variance =
variance_sd1 for a standardised measure; effect = effect_sd1 and variance = variance_sd1 SD^2 for a raw one. `pooled_sd` is the
standard deviation of the rows that print one."""

RESERVED = (
    "row",
    "effect_reported",
    "variance_reported",
    "control_share",
    "points_per_unit",
    "effect_unit",
    *UNKNOWN,
    *(f"{dose}_{end}" for dose in DOSES for end in ("low", "high")),
)
"""Columns that Trials adds; a table may not have its own of that name."""

STANDARDISED_MEASURES = ("SMD", "SMCC", "SMCR")
"""Measures in standard deviations of the outcome: the default priors and the default near-best margin apply to these."""

RAW_MEASURES = ("MD", "MC")
"""Measures in units of the outcome: rows of different outcomes do not mean the same."""

CONTROLS_INACTIVE = ("sham", "add-on", "sham or add-on")
"""Comparators at which dose is zero: only contrasts with these may be anchored."""

PHASE_LIMITS_DAYS = (14.0, 183.0)
"""A stroke is acute before day 14, subacute before day 183 (six months), chronic from then on."""

AXIS_LABELS = {
    "frequency_hz": "Frequency (Hz)",
    "pulses_per_session": "Pulses per session",
    "session_min": "Session length (min)",
    "sessions": "Sessions",
    "total_pulses": "Total pulses",
    "treatment_days": "Treatment (days)",
    "intensity_percent_rmt": "Intensity (% RMT)",
    "intensity_percent_mso": "Intensity (% MSO)",
    "therapy_hours": "Scheduled therapy (hours)",
    "train_s": "Train (s)",
    "intertrain_s": "Pause between trains (s)",
    "on_time_s": "On-time (s)",
}


def axis_label(name: str) -> str:
    """Axis label of a column, known or not."""
    return COLUMNS[name].label if name in COLUMNS else name.replace("_", " ").capitalize()


def level_order(name: str, values: Iterable) -> list[str]:
    """The levels among `values`: in the order of the vocabulary, others after them by alphabet, numbers by size."""
    present = {str(value) for value in values}
    known = COLUMNS[name].levels if name in COLUMNS else ()
    return [level for level in known if level in present] + sorted(present - set(known), key=_natural)


def _natural(text: str) -> list:
    """Sorting key by which 2 comes before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
