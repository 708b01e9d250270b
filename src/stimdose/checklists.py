"""Items of reporting checklists and domains of bias that have a column of their own."""

REPORTING = (
    ("handedness", "hand dominance", "Chipchase 3"),
    ("medication", "prescribed medication", "Chipchase 4"),
    ("cns_active_drugs", "drugs that act on the nervous system, such as anticonvulsants or baclofen", "Chipchase 5"),
    ("neuropsychiatric_disorders", "neurological or psychiatric disorders beside the one treated", "Chipchase 6"),
    ("medical_conditions", "other medical conditions", "Chipchase 7"),
    ("repetitive_motor_activity", "history of repetitive motor activity, such as an instrument", "Chipchase 8"),
    ("emg_electrodes", "position of the EMG electrodes", "Chipchase 9"),
    ("target_muscle_state", "state of the target muscle: at rest, or contracted by how much", "Chipchase 10"),
    ("prior_motor_activity", "activity of the target muscle before stimulation", "Chipchase 11"),
    ("other_muscles_state", "relaxation of the other muscles", "Chipchase 12"),
    ("coil_type", "shape and size of the coil", "Chipchase 13"),
    ("coil_orientation", "orientation of the coil", "Chipchase 14"),
    ("current_direction", "direction of the induced current", "Chipchase 15"),
    ("localisation_method", "how the coil is placed and held: neuronavigation, cap, holder, by hand", "Chipchase 16"),
    ("stimulator_model", "maker and model of the stimulator", "Chipchase 17"),
    ("pulse_shape", "monophasic, biphasic, ...", "Chipchase 19"),
    ("hotspot_method", "how the hotspot or the stimulated point was found", "Chipchase 20"),
    ("mep_interval", "time between two trials of motor evoked potentials (MEP)", "Chipchase 21"),
    ("days_between_tests", "time between days of testing", "Chipchase 22"),
    ("attention", "attention or arousal during stimulation", "Chipchase 23"),
    ("threshold_method", "how the motor threshold was found, and whether at rest or active", "Chipchase 24"),
    ("mep_count", "number of MEPs measured", "Chipchase 25"),
    ("mep_size_method", "how the size of the MEP was measured", "Chipchase 29"),
    ("blinding", "who was blinded", "CONSORT 11a"),
    ("sham_method", "how sham was made: sham coil, tilted coil, low output, ...", "CONSORT 11b"),
)
"""Fields of the TMS checklist: Chipchase L et al., Clin Neurophysiol 2012;123:1698, doi 10.1016/j.clinph.2012.05.003, numbered as in
the TMSMultiLab collection. Items 1, 2 and 18 are numeric columns; 26-28 and 30 are about paired pulses and have none."""

ROB_DOMAINS = {
    "randomisation": "bias arising from the randomisation process",
    "deviations": "bias due to deviations from intended interventions",
    "missing_data": "bias due to missing outcome data",
    "measurement": "bias in measurement of the outcome",
    "selective_reporting": "bias in selection of the reported result",
}
"""Sterne JAC et al., BMJ 2019;366:l4898."""
