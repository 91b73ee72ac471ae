"""params.yaml: sections, scales, variants, and what a slip of the pen leads to."""

import pytest
from ruamel.yaml import YAML
from stubs import PARAMS

from blsp_core.errors import StudyError
from blsp_core.study.settings import Settings, at_seeds, read_params, resolve


@pytest.fixture
def params():
    return YAML(typ="safe", pure=True).load(PARAMS)


def test_a_scale_changes_what_it_names_and_nothing_else(params):
    assert resolve(params, "stage1") == {"steps": 2, "rate": 1e-4, "bold": False}
    assert resolve(params, "stage1", "mini") == {"steps": 3, "rate": 1e-4, "bold": False}


def test_a_variant_lies_over_the_scale(params):
    assert resolve(params, "stage2", "mini", "frozen") == {"steps": 6, "frozen": True}
    assert resolve(params, "stage2", "mini", "plain") == {"steps": 6, "frozen": False}


def test_a_number_in_powers_of_ten_is_a_number(tmp_path):
    (tmp_path / "params.yaml").write_text("rate: 1e-4\nanswer: no\n")
    assert read_params(tmp_path) == {"rate": 1e-4, "answer": "no"}


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            ("scales", "smoke", "stage1", "stepps"),
            1,
            "scales.smoke.stage1: 'stepps' is no setting of the section stage1",
        ),
        (("variants", "frozen", "frost"), 1, "variants.frozen: 'frost' is no setting of the section stage2"),
        (("scale",), "huge", "no scale 'huge'; `scale` must be one of smoke, mini"),
        (("scales", "smoke"), {}, "there is no section scales.smoke.stage2"),
        (("stage2",), 3, "stage2: 3 is not a section"),
    ],
)
def test_what_is_wrong_is_named_in_a_sentence(params, path, value, sentence):
    place = params
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(StudyError) as error:
        section = "stage2" if path[0] != "scales" or path[-1] == "smoke" else "stage1"
        resolve(params, section, system="frozen" if section == "stage2" else None)
    assert sentence in str(error.value)


def test_an_unknown_variant_is_named(params):
    with pytest.raises(StudyError, match="no 'odd' in `variants`; there are plain, frozen"):
        resolve(params, "stage2", system="odd")


def test_broken_yaml_is_named_by_line(tmp_path):
    (tmp_path / "params.yaml").write_text("scale: mini\nseed: [1\n")
    with pytest.raises(StudyError, match=r"params.yaml, line \d: not valid YAML"):
        read_params(tmp_path)


def test_settings_are_attributes_and_a_missing_one_says_where_it_belongs():
    settings = Settings("stage1", {"steps": 3})
    assert settings.steps == 3 and vars(settings) == {"steps": 3}
    with pytest.raises(StudyError, match="params.yaml, section stage1: there is no setting 'stepz'"):
        _ = settings.stepz


def test_a_run_has_its_own_fold_and_what_is_not_trained_has_all():
    given = {"corpora": ["speech.fold{seed}", "requests"], "check": "speech.fold{seed}", "steps": 3}
    assert at_seeds(given, [2]) == {
        "corpora": ["speech.fold2", "requests"],
        "check": "speech.fold2",
        "steps": 3,
    }
    assert at_seeds(given, [1, 2])["corpora"] == ["speech.fold1", "speech.fold2", "requests"]
    assert at_seeds(given, [1, 2])["check"] == "speech.fold1"
