import pytest

from blsp_core.data.manifest import write_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation import results

CASCADES = ("text+llm", "random+llm", "gold+llm", "whisper+llm", "wavlm+llm", "blsp")
STAGE2 = {"stage": "stage2", "seed": 1}
RUNS = {
    "core": {"blsp": {"stage": "stage1", "seed": 1}, "blsp-emo": STAGE2},
    "full": {"multitask": STAGE2, "salmonn": STAGE2},
    "extra": {"blsp-emo-2": {"stage": "stage2", "seed": 2, "system": "blsp-emo"}},
}
PARAMS = {"seed": 1, "systems": {"text+llm": {"class": "TextLLM"}}, "runs": RUNS}


def test_runs_of_one_system_are_told_apart_by_their_seed_or_fold():
    names = ("text+llm", "probe", "blsp", "blsp-emo")
    assert results.places(PARAMS, "core") == {name: {1: f"core/{name}"} for name in names}
    assert results.places(PARAMS, "extra")["blsp-emo"] == {1: "core/blsp-emo", 2: "extra/blsp-emo-2"}
    assert results.variants(PARAMS, "extra") == ["multitask"]
    folds = {f"emo-f{n}": STAGE2 | {"fold": n, "system": "blsp-emo"} for n in (1, 2)}
    found = results.places({"seed": 1, "runs": {"core": folds}}, "core")
    assert found["blsp-emo"] == {1: "core/emo-f1", 2: "core/emo-f2"}
    folds["emo-f2"]["fold"] = 1
    with pytest.raises(StudyError, match="emo-f2 and core/emo-f1 are both seed or fold 1 of blsp-emo"):
        results.places({"seed": 1, "runs": {"core": folds}}, "core")


def test_predictions_are_read_by_system_and_seed_and_missing_ones_are_named(tmp_path):
    row = {"id": "a-1", "system": "s", "task": "ser.a", "prompt": "", "response": "sad", "reference": "sad"}
    systems = {"blsp-emo": results.places(PARAMS, "extra")["blsp-emo"]}
    write_jsonl(tmp_path / "evaluation/core/blsp-emo/predictions.jsonl", [row])
    with pytest.raises(StudyError, match=r"no predictions of blsp-emo-2; `dvc repro extra/dvc.yaml` makes them"):
        results.read_predictions(tmp_path, systems)
    write_jsonl(tmp_path / "evaluation/extra/blsp-emo-2/predictions.jsonl", [row])
    assert results.read_predictions(tmp_path, systems) == {"blsp-emo": {1: {"ser.a": [row]}, 2: {"ser.a": [row]}}}


def test_runs_are_measured_together_and_paired_by_seed_a_single_one_with_each_and_folds_as_one(evaluated):
    good, bad = (evaluated({"blsp-emo": chance})["blsp-emo"] for chance in (1.0, 0.0))
    unscored = {"showcase": good["requests"], "dialogue": [{"reference": "sad", "text": "", "id": "1"}]}
    found = results.measure_all({"blsp-emo": {1: good | unscored, 2: bad | unscored}})["blsp-emo"]
    assert set(found) == {"ser.acted", "ser.talk", "ser.statements", "ser.requests", "requests"}
    assert found["ser.acted"]["seeds"] == 2 and 0.5 < found["ser.acted"]["wa"] < 0.7
    first, second = results.paired({1: good, 2: bad}, {2: good, 3: bad}, "ser.acted")
    assert (len(first), len(second)) == (1, 1) and first[0] == bad["ser.acted"]
    assert [len(side) for side in results.paired({1: good, 2: bad}, {7: good}, "ser.acted")] == [2, 2]
    assert results.paired({1: good}, {1: bad}, "dialogue") is None
    with pytest.raises(StudyError, match="ser.acted: two systems were trained at seeds of which none is common"):
        results.paired({1: good, 2: bad}, {3: good, 4: bad}, "ser.acted")
    rows = good["ser.acted"]
    folds, whole = {1: {"ser.acted": rows[:50]}, 2: {"ser.acted": rows[50:]}}, {5: {"ser.acted": rows}}
    ones, others = results.paired(folds, whole | {6: {"ser.acted": rows}}, "ser.acted")
    assert [len(run) for run in ones] == [len(run) for run in others] == [100, 100]


def test_only_systems_that_read_whispers_transcripts_have_their_word_error_rate(evaluated):
    predictions = {name: {1: tasks} for name, tasks in evaluated(dict.fromkeys(CASCADES, 0.5), 20).items()}
    found = results.measure_all(predictions, {"acted": 0.1, "requests": 0.2})
    assert {name for name in found if "wer" in found[name]["ser.acted"]} == {"whisper+llm", "wavlm+llm"}
    assert found["wavlm+llm"]["ser.acted"]["wer"] == {"acted": 0.1} and "wer" not in found["wavlm+llm"]["ser.talk"]
    assert found["wavlm+llm"]["requests"]["wer"] == {"requests": 0.2}


def test_one_system_is_preferred_to_the_others_over_all_its_runs(evaluated, judge):
    rows = [evaluated({name: chance}, 20)[name]["requests"] for name, chance in (("a", 1.0), ("b", -1.0))]
    kind, cold = ([row | {"empathy": empathy} for row in found] for empathy, found in zip((1, 0), rows, strict=True))
    predictions = {"blsp-emo": {1: {"dialogue": kind}, 2: {"dialogue": cold}}}
    predictions |= {"text+llm": {1: {"dialogue": cold}}, "blsp": {1: {"requests": cold}}}
    found = results.against_all(predictions, judge=judge)
    assert list(found) == ["blsp-emo.vs.text+llm"] and results.against_all(predictions) == {}
    figures = found["blsp-emo.vs.text+llm"]
    assert (figures["win"], figures["tie"], figures["preference"]) == (0.5, 0.5, 0.5)


def test_variants_and_shares_are_compared_with_blsp_emo_at_each_seed_and_over_all(evaluated):
    runs = {seed: evaluated({"blsp-emo": chance})["blsp-emo"] for seed, chance in ((1, 0.9), (2, 0.8))}
    predictions = {"blsp-emo": runs, "multitask": {1: evaluated({"multitask": 0.1})["multitask"]}}
    frame = results.differences(predictions, ["multitask"])
    assert set(frame["seed"]) == {"all", "1", "2"}
    assert list(dict.fromkeys(frame["measure"])) == ["acted", "talk", "statements", "requests", "quality", "empathy"]
    pooled = frame[frame["seed"] == "all"].set_index("measure").loc["acted"]
    assert pooled["runs"] == 2 and pooled["high"] < 0 and pooled["p_holm"] >= pooled["p"]
    assert pooled["difference"] == pytest.approx(pooled["value"] - pooled["whole"])
    assert results.learning_curve(predictions).empty
    predictions["share-25"] = {1: evaluated({"share-25": 0.3})["share-25"]}
    assert results.learning_curve(predictions)["share"].unique().tolist() == [0.25, 1.0]
