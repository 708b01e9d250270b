"""Stimulation protocols as published, and the identities of dose tables: filled, contradicted, bounded, never overwritten."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stimdose.errors import StimdoseError
from stimdose.identities import contradictions, implied
from stimdose.protocol import COLUMNS, QPS, Patterned, Rpms, Rtms, cTBS, frequency, iTBS

laws = settings(max_examples=100, deadline=None, derandomize=True)
DLPFC = Rtms(frequency_hz=10, train_s=4, interval_s=26, trains=75)  # O'Reardon 2007: 3000 pulses in 37.5 min
DLPFC_CELLS = {
    "frequency_hz": 10,
    "train_s": 4,
    "intertrain_s": 26,
    "trains": 75,
    "session_min": 37.5,
    "pulses_per_session": 3000,
}


def table(*rows, **common):
    return pd.DataFrame([{"modality": "rTMS"} | common | row for row in rows])


def cells(found):
    return {(cell.position, cell.column): cell.value for cell in found}


def first_row(**row):
    return {column: value for (_, column), value in cells(implied(table(row))).items()}


def filled(frame, found):
    frame = frame.copy()
    for cell in found:
        frame.loc[frame.index[cell.position], cell.column] = cell.value
    return frame


# Protocols --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "pulses", "seconds", "duty_cycle", "mean_rate"),
    [
        (iTBS(), 600, 192, 40 / 192, 3.125),  # Huang 2005
        (iTBS(trains=40), 1200, 392, 80 / 392, 1200 / 392),
        (cTBS(), 600, 40, 1, 15),
        (cTBS(train_s=20), 300, 20, 1, 15),
        (QPS(), 1440, 1800, 1, 0.8),  # Hamada 2008
        (QPS(interval_ms=1250), 1440, 1800, 1, 0.8),  # the longest interval: pulses never pause
        (DLPFC, 3000, 2224, 300 / 2224, 3000 / 2224),
        (Rtms(frequency_hz=10, train_s=5, interval_s=25, trains=40), 2000, 1175, 200 / 1175, 2000 / 1175),
        (Rtms(frequency_hz=1, train_s=1200), 1200, 1200, 1, 1),
        (Rpms.lasting(20, frequency_hz=20, train_s=3, interval_s=2), 14400, 1198, 720 / 1198, 14400 / 1198),
    ],
)
def test_protocols_as_published(protocol, pulses, seconds, duty_cycle, mean_rate):
    assert protocol.pulses == pytest.approx(pulses)
    assert (protocol.session_s, protocol.session_min) == pytest.approx((seconds, seconds / 60))
    assert (protocol.duty_cycle, protocol.mean_rate_hz) == pytest.approx((duty_cycle, mean_rate))
    assert protocol.total_pulses(10) == pytest.approx(10 * pulses)


def test_sessions_are_filled_with_whole_trains_however_the_last_pause_was_counted():
    for minutes in (DLPFC.session_min, 37.06, 37.5):
        assert Rtms.lasting(minutes, frequency_hz=10, train_s=4, interval_s=26) == DLPFC
    assert type(Rpms.lasting(20, frequency_hz=20, train_s=3, interval_s=2)) is Rpms


def test_a_protocol_that_cannot_be_is_refused_with_everything_wrong():
    with pytest.raises(StimdoseError, match=r"frequency_hz = 0 .*train_s = -1 .*trains = 1\.5 .*interval_s = -3 "):
        Rtms(frequency_hz=0, train_s=-1, interval_s=-3, trains=1.5)
    for make in (lambda: QPS(interval_ms=0), lambda: QPS(interval_ms=2000), lambda: Rtms(frequency_hz=np.nan, train_s=1)):
        with pytest.raises(StimdoseError, match="correct"):
            make()


def test_frequency_of_bursts_is_a_choice():
    assert [frequency("iTBS", axis) for axis in ("burst", "carrier", "mean")] == [5, 50, 3.125]
    assert [frequency("ctbs", axis) for axis in ("burst", "carrier", "mean")] == [5, 50, 15]
    assert [frequency("QPS", axis) for axis in ("burst", "carrier", "mean")] == [0.2, 200, 0.8]
    assert frequency("QPS-50", "carrier") == 20
    assert [frequency(DLPFC, axis) for axis in ("burst", "carrier")] == [10, 10]
    assert frequency(DLPFC, "mean") == DLPFC.mean_rate_hz
    slow = Patterned(frequency_hz=30, pulses_per_burst=3, burst_frequency_hz=6, train_s=33.4)
    assert (frequency(slow), frequency(slow, "carrier")) == (6, 30)
    with pytest.raises(StimdoseError, match="burst, carrier, mean"):
        frequency("iTBS", "theta")
    with pytest.raises(StimdoseError, match="'TBS' has no standard pattern"):
        frequency("TBS")


# What is implied --------------------------------------------------------------------------------------------------------------


def test_a_published_protocol_is_completed():
    found = first_row(frequency_hz=10, train_s=4, intertrain_s=26, trains=75, sessions=30)
    assert found == {"pulses_per_session": 3000, "session_min": DLPFC.session_min, "total_pulses": 90000, "on_time_s": 300}
    found = first_row(frequency_hz=20, train_s=3, intertrain_s=2, session_min=20)
    assert found == {"pulses_per_session": 14400, "trains": 240, "on_time_s": 720}


@pytest.mark.parametrize("missing", DLPFC_CELLS)
def test_each_member_of_an_identity_is_recovered_from_the_others(missing):
    found = first_row(**{name: value for name, value in DLPFC_CELLS.items() if name != missing})
    assert found[missing] == pytest.approx(DLPFC_CELLS[missing], rel=0.02)  # a printed session counts the last pause


@laws
@given(st.floats(0.5, 60), st.floats(0.5, 60), st.floats(0.5, 60), st.integers(2, 200), st.integers(1, 60), st.data())
def test_two_members_of_a_product_give_the_third(hertz, train, pause, trains, sessions, data):
    protocol = Rtms(frequency_hz=hertz, train_s=train, interval_s=pause, trains=trains)
    whole = {
        "frequency_hz": hertz,
        "pulses_per_session": protocol.pulses,
        "session_min": protocol.session_min,
        "sessions": sessions,
        "total_pulses": protocol.total_pulses(sessions),
        "train_s": train,
        "intertrain_s": pause,
        "trains": trains,
        "on_time_s": protocol.on_time_s,
    }
    assert contradictions(table(whole)) == []
    for members in (
        ("on_time_s", "train_s", "trains"),
        ("pulses_per_session", "frequency_hz", "on_time_s"),
        ("total_pulses", "pulses_per_session", "sessions"),
        ("session_min", "train_s", "intertrain_s", "trains"),
    ):
        missing = data.draw(st.sampled_from(members))
        found = first_row(**{name: whole[name] for name in members if name != missing})
        assert found[missing] == pytest.approx(whole[missing], rel=1e-6)


def test_continuous_stimulation_is_never_assumed():
    assert first_row(frequency_hz=1, session_min=20) == {}
    for said in ({"trains": 1}, {"intertrain_s": 0}):
        found = first_row(frequency_hz=1, session_min=20, **said)
        assert (found["on_time_s"], found["pulses_per_session"]) == (1200, 1200)
    assert first_row(frequency_hz=1, pulses_per_session=900, trains=1)["session_min"] == 15


def test_sessions_and_trains_are_whole_or_not_implied():
    assert first_row(total_pulses=10000, pulses_per_session=1200) == {}
    assert first_row(total_pulses=12000, pulses_per_session=1200) == {"sessions": 10}


@pytest.mark.parametrize(("axis", "hertz"), [("burst", 5), ("carrier", 50), ("mean", 3.125)])
def test_theta_bursts_follow_the_standard_pattern_and_say_so(axis, hertz):
    found = implied(table({"pulses_per_session": 600}, {"session_min": 3.2}, {"session_min": 3}, {}, modality="iTBS"), axis)
    assert {cell.position: cell.value for cell in found if cell.column == "frequency_hz"} == pytest.approx(
        {0: hertz, 1: hertz, 2: hertz if axis != "mean" else 600 / 180, 3: hertz}
    )
    others = {(cell.position, cell.column): cell.value for cell in found if cell.column != "frequency_hz"}
    assert others == pytest.approx({(0, "session_min"): 3.2, (1, "pulses_per_session"): 600, (2, "pulses_per_session"): 600})
    assert all("iTBS (Huang 2005)" in cell.assumption for cell in found)


def test_patterns_scale_with_their_pulses():
    found = cells(implied(table({"modality": "iTBS"}, {"modality": "cTBS"}, {"modality": "QPS-50"}, pulses_per_session=1200)))
    assert {i: found[i, "session_min"] for i in range(3)} == pytest.approx({0: 392 / 60, 1: 80 / 60, 2: 25})
    assert {i: found[i, "frequency_hz"] for i in range(3)} == {0: 5, 1: 5, 2: 0.2}


def test_bursts_are_no_single_pulses():
    rows = table(
        {"frequency_hz": 5, "on_time_s": 40}, {"frequency_hz": 5, "session_min": 2, "pulses_per_session": 600}, modality="TBS"
    )
    assert implied(rows) == contradictions(rows) == []
    own = table({"modality": "iTBS", "pulses_per_session": 600, "train_s": 2, "intertrain_s": 4})
    assert "session_min" not in {cell.column for cell in implied(own)}
    usual = table({"modality": "iTBS", "pulses_per_session": 600, "train_s": 2, "intertrain_s": 8})
    assert cells(implied(usual))[0, "session_min"] == pytest.approx(3.2)
    timed = table({"modality": "iTBS", "train_s": 2, "intertrain_s": 4, "trains": 20})
    assert cells(implied(timed))[0, "session_min"] == pytest.approx((40 + 76) / 60)


def test_assumptions_are_inherited():
    found = {cell.column: cell for cell in implied(pd.DataFrame([{"frequency_hz": 10.0, "on_time_s": 60.0, "sessions": 10.0}]))}
    assert "no modality" in found["pulses_per_session"].assumption
    assert "no modality" in found["total_pulses"].assumption
    assert found["total_pulses"].formula == "total_pulses = pulses_per_session × sessions"
    assert all(cell.assumption == "" for cell in implied(table({"frequency_hz": 10, "on_time_s": 60})))


def test_an_interval_is_filled_from_inside_and_contradicted_from_outside():
    rows = table(
        {"sessions_low": 8, "sessions_high": 12},
        {"sessions_low": 12, "sessions_high": 15},
        {"sessions_low": 9, "sessions_high": np.inf},
        {"sessions_low": 10.2, "sessions_high": 15},  # within the tolerance: neither
        pulses_per_session=1000,
        total_pulses=10000,
    )
    assert cells(implied(rows)) == {(0, "sessions"): 10, (2, "sessions"): 10}
    (fault,) = contradictions(rows)
    assert (fault.position, fault.columns) == (1, ("pulses_per_session", "sessions", "total_pulses"))
    assert "12 to 15" in fault.message


# Any table --------------------------------------------------------------------------------------------------------------------


def maybe(values):
    return st.one_of(st.just(np.nan), values)


any_row = st.fixed_dictionaries(
    {
        "modality": st.sampled_from(["rTMS", "LF-rTMS", "iTBS", "cTBS", "QPS", "QPS-50", "rPMS", "rTMS/TBS", None]),
        "frequency_hz": maybe(st.sampled_from([0.2, 1.0, 5.0, 10.0, 50.0])),
        "pulses_per_session": maybe(st.sampled_from([0.0, 600.0, 1200.0, 3000.0])),
        "session_min": maybe(st.sampled_from([3.0, 3.2, 20.0, 37.5])),
        "session_min_low": maybe(st.sampled_from([3.0, 15.0])),
        "sessions": maybe(st.sampled_from([1.0, 10.0])),
        "total_pulses": maybe(st.sampled_from([6000.0, 12000.0])),
        "train_s": maybe(st.sampled_from([2.0, 4.0, 5.0])),
        "intertrain_s": maybe(st.sampled_from([0.0, 8.0, 26.0])),
        "trains": maybe(st.sampled_from([1.0, 20.0, 75.0])),
        "on_time_s": maybe(st.sampled_from([40.0, 300.0])),
    }
)
any_table = st.lists(any_row, max_size=12).map(lambda rows: pd.DataFrame(rows, columns=["modality", "session_min_low", *COLUMNS]))
any_axis = st.sampled_from(["burst", "carrier", "mean"])


@laws
@given(any_table, any_axis)
def test_printed_cells_are_never_touched_and_the_closure_is_complete(frame, axis):
    before = frame.copy(deep=True)
    found = implied(frame, axis)
    assert all(np.isnan(frame[cell.column].iloc[cell.position]) for cell in found)
    assert len(cells(found)) == len(found)
    assert all(np.isfinite(cell.value) and cell.value >= 0 for cell in found)
    assert not {cell.position for cell in found} & {fault.position for fault in contradictions(frame, tbs_frequency=axis)}
    pd.testing.assert_frame_equal(frame, before)
    assert implied(filled(frame, found), axis) == []


@laws
@given(any_table, any_axis, st.randoms(use_true_random=False))
def test_rows_are_read_one_by_one_whatever_their_order_or_label(frame, axis, random):
    order = list(range(len(frame)))
    random.shuffle(order)
    shuffled = frame.iloc[order].set_axis([f"row {i // 2}" for i in order])
    moved = {(order[cell.position], cell.column): cell for cell in implied(shuffled, axis)}
    assert {key: cell[2:] for key, cell in moved.items()} == {cell[:2]: cell[2:] for cell in implied(frame, axis)}
    there = sorted(
        (order[fault.position], fault.columns, fault.message) for fault in contradictions(shuffled, tbs_frequency=axis)
    )
    assert there == sorted(map(tuple, contradictions(frame, tbs_frequency=axis)))


# Contradictions ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.049, 1 / 1.049, 1.051, 1 / 1.051])
@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"train_s": 4, "trains": 75, "on_time_s": 300.0625}, "train_s"),
        ({"frequency_hz": 10, "train_s": 4, "trains": 75, "pulses_per_session": 3000}, "frequency_hz"),
        ({"pulses_per_session": 1200, "sessions": 10, "total_pulses": 12000}, "pulses_per_session"),
    ],
)
def test_the_tolerance_has_two_sides(row, column, factor):
    changed = row | {column: row[column] * factor}
    assert bool(contradictions(table(changed))) == (abs(np.log(factor)) > np.log(1.05))
    assert contradictions(table(changed), tolerance=0.06) == []
    assert contradictions(table(changed), tolerance=0.04)


def test_printed_minutes_are_rounded():
    row = {"frequency_hz": 1, "trains": 1, "session_min": 20}
    assert contradictions(table(row | {"pulses_per_session": 1280})) == []  # 21.3 min: 5 % and half a minute
    assert contradictions(table(row | {"pulses_per_session": 1300}))
    assert contradictions(table(row | {"pulses_per_session": 1280, "session_min": 20.04}))


def test_a_session_may_count_the_last_pause():
    row = {"train_s": 60, "intertrain_s": 60, "trains": 2}
    assert contradictions(table(*(row | {"session_min": minutes} for minutes in (3.0, 3.5, 4.0)))) == []
    found = contradictions(table(*(row | {"session_min": minutes} for minutes in (2.04, 5.04))))
    assert [fault.position for fault in found] == [0, 1]
    assert found[0].columns == ("session_min", "train_s", "intertrain_s", "trains")


@pytest.mark.parametrize(
    ("row", "columns", "said"),
    [
        ({"frequency_hz": 1, "session_min": 10, "pulses_per_session": 1200}, COLUMNS[:3], "duty cycle"),
        ({"session_min": 4, "train_s": 5, "trains": 100}, ("session_min", "train_s", "trains"), "duty cycle"),
        ({"train_s": 60, "on_time_s": 40}, ("train_s", "on_time_s"), "train"),
        ({"pulses_per_session": 1200, "total_pulses": 1000}, ("pulses_per_session", "total_pulses"), "total_pulses is 1000"),
        ({"modality": "iTBS", "frequency_hz": 50}, ("frequency_hz",), "carrier frequency of iTBS, but the axis is burst: 5 Hz"),
        ({"modality": "QPS", "frequency_hz": 0.8}, ("frequency_hz",), "mean frequency of QPS"),
    ],
)
def test_what_cannot_be_is_reported_once(row, columns, said):
    (fault,) = contradictions(table(row))
    assert fault.position == 0
    assert fault.columns == tuple(columns)
    assert said in fault.message
    assert implied(table(row)) == []


def test_the_axis_decides_which_printed_frequency_is_foreign():
    rows = table({"frequency_hz": 5}, {"frequency_hz": 50}, {"frequency_hz": 30}, modality="cTBS")
    assert [fault.position for fault in contradictions(rows, tbs_frequency="burst")] == [1]
    assert [fault.position for fault in contradictions(rows, tbs_frequency="carrier")] == [0]


def test_bad_tables_and_options_are_refused_with_everything_wrong():
    bad = pd.DataFrame({"frequency_hz": ["x", "3"], "session_min": [-1, np.inf]})
    for function in (implied, contradictions):
        with pytest.raises(StimdoseError, match=r"frequency_hz = x at position 0; session_min = -1.* 0; session_min = inf.* 1"):
            function(bad)
    with pytest.raises(StimdoseError, match="burst, carrier, mean"):
        implied(table({}), "theta")
    with pytest.raises(StimdoseError, match="tolerance"):
        contradictions(table({}), tolerance=-1)


def test_columns_may_be_absent():
    for frame in (pd.DataFrame({"study": ["A"]}), pd.DataFrame(), table({}).iloc[:0]):
        assert implied(frame) == contradictions(frame) == []
