"""Laws of specs, on random ones: a valid model is the same after TOML, to the last letter; an invalid one is refused by name."""

import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

import stimdose as sd
from stimdose.columns import COLUMNS
from stimdose.families import PARAMETERS
from stimdose.named_priors import PriorSet
from stimdose.roles import ROLES
from stimdose.shapes import SHAPES
from stimdose.specs import model_from_toml

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
POSITIVE = st.floats(0.01, 50)
REAL = st.floats(-3, 3)
BY = st.sampled_from([None, "phase", "site", ["phase", "site"], "phase:site", "my column"])
DOSES = [name for name, column in COLUMNS.items() if column.kind == "dose"]


@st.composite
def priors(draw, families=tuple(PARAMETERS)) -> dict:
    family = draw(st.sampled_from(families))
    values = {name: draw(REAL if name == "mu" else POSITIVE) for name in PARAMETERS[family]}
    low = draw(POSITIVE)
    way = draw(st.sampled_from(["parameters", "interval", "quantiles"]))
    if way != "parameters" and family not in ("beta", "correlation", "logt"):
        values = {"interval": [0.0 if family.startswith("half") else low, low * 3]}
        if way == "quantiles":
            values = {"quantiles": {"0.9": low * 3} | ({} if family.startswith("half") else {"0.1": low})}
    return {"family": family, **values, "why": draw(TEXT)}


@st.composite
def specs(draw) -> dict:
    """A spec as it stands in a file. Many are valid."""
    doses = draw(st.lists(st.sampled_from(DOSES), max_size=2, unique=True))
    spec = {"name": draw(TEXT), "description": draw(TEXT)}
    if not doses or draw(st.booleans()):
        spec["intercept"] = {"prior": draw(priors(("normal", "halfnormal")))} | optional(
            draw, by=BY, spread=priors(("halfnormal",))
        )
    spec["dose"] = [draw(dose(name)) for name in doses]
    if draw(st.booleans()):
        spec["moderator"] = [
            {"column": "baseline_severity"} | optional(draw, prior=priors(("normal",)), center=REAL, per=POSITIVE)
        ]
    spec |= optional(
        draw,
        between_study=priors(("halfnormal", "halfcauchy", "lognormal", "logt")),
        outcome_sd=POSITIVE,
        small_study=st.sampled_from(["pet", "peese"]),
        pre_post_r=priors(("correlation",)),
        within_study=st.just(False),
        student_t_df=st.floats(1, 30),
    )
    return spec


@st.composite
def dose(draw, column: str) -> dict:
    shape = draw(st.sampled_from(sorted(SHAPES)))
    return {"column": column, "shape": shape} | optional(draw, by=BY, by_study=st.booleans(), reference=POSITIVE)


def optional(draw, **strategies) -> dict:
    found = {name: draw(strategy) for name, strategy in strategies.items() if draw(st.booleans())}
    return {name: value for name, value in found.items() if value is not None}


@examples(40)
@given(specs())
def test_a_valid_model_survives_toml_and_an_invalid_one_is_a_model_error(spec):
    try:
        model = sd.Model(**spec)
    except sd.ModelError as error:
        model, message = None, str(error)
    if model is None:
        assert message.startswith("model ")
        assert "\n  - " in message
        return
    text = model.to_toml()
    again = model_from_toml(text)
    assert again == model
    assert again.to_toml() == text  # of which the key of a fit is made
    assert again.priors() == model.priors()
    assert model_from_toml(text.replace("\n", "\r\n")) == model


SOUND = sd.load_model("stimulation").as_dict()
WRONG = [
    float("nan"),
    float("inf"),
    "five",
    "",
    -1.0,
    0.0,
    [],
    {},
    [[1]],
    True,
    {"family": "normal"},
    {"family": "nromal", "mu": 0, "sigma": 1},
]


@examples(60)
@given(st.sampled_from(list(SOUND)), st.sampled_from(WRONG), st.sampled_from(["values", "names"]))
def test_what_is_wrong_is_named(entry, value, kind):
    """A value that cannot be, or an entry that there is none of, at the top or in a part: the message has its name."""
    spec = tomllib.loads(tomli_w.dumps(SOUND))
    name = f"{entry}x" if kind == "names" else entry
    spec = spec | {name: value}
    try:
        assert model_from_toml(sd.Model(**spec).to_toml()) == sd.Model(**spec)
        assert name in SOUND  # a value that can be
    except sd.ModelError as error:
        message = str(error)
        assert name in message or name == "name" or value in ([], {}), message


@examples(30)
@given(st.dictionaries(st.sampled_from([*ROLES, "frequency_hz_peak"]), priors(), max_size=4), TEXT, TEXT)
def test_a_set_of_priors_survives_toml(tmp_path_factory, entries, name, description):
    found = PriorSet(name=name, description=description, priors=entries)
    path = tmp_path_factory.getbasetemp() / "set.toml"
    found.save(path)
    assert sd.load_prior_set(path) == found
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert sd.load_prior_set(path) == found


DEEP = [
    "a = " + "[" * 20_000,
    "a = " + "{a = " * 2000 + "1" + "}" * 2000,
    f"name = {'9' * 5000}",
    f"name = 0x{'f' * 4000}",
    "[[dose]]\na." * 3,
]


@pytest.mark.parametrize(
    "text", [*DEEP, "\0", "name = '\0'", "cls = 1", "self = 1", "name = 1979-05-27", "= 1", "[", "name = nan"]
)
def test_odd_specs_and_sets_are_refused_in_one_message(tmp_path, text):
    (tmp_path / "odd.toml").write_text(text, encoding="utf-8", newline="")
    for load in (sd.load_model, sd.load_prior_set):
        with pytest.raises(sd.ModelError) as caught:
            load(tmp_path / "odd.toml")
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_specs_as_editors_save_them(tmp_path, encoding, end):
    path, text = tmp_path / "m.toml", sd.load_model("frequency-bell").replace(description="Größe").to_toml()
    path.write_bytes(text.replace("\n", end).encode(encoding))
    if encoding == "utf-8-sig":
        assert sd.load_model(path).description == "Größe"
    else:
        with pytest.raises(sd.ModelError, match=r"it is not UTF-8 text .*; save it as UTF-8"):
            sd.load_model(path)


@pytest.mark.parametrize(
    "name", ["C:\\trials\\m", "con", "nul.", "a\0b.toml", "a\0b", "m.toml.", "\ud800.toml", "x" * 5000 + ".toml", " "]
)
def test_names_that_no_file_has(name):
    for load in (sd.load_model, sd.load_prior_set):
        with pytest.raises(sd.ModelError, match=r"no shipped model|no prior set|cannot read"):
            load(name)
