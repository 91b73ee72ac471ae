import numpy as np
import pandas as pd
import pytest

from blsp_core.inference import embeddings
from blsp_core.report import beside, exhibits


def reply(text, tone, response, empathy):
    return {"text": text, "reference": tone, "response": response, "empathy": empathy}


def test_pairs_of_tones_are_sorted_by_what_becomes_of_the_reply():
    rows = [reply("a", "happy", "nice", 1), reply("a", "sad", "nice", 0)]  # deaf
    rows += [reply("b", "happy", "nice", 1), reply("b", "sad", "sorry", 1)]  # hears both
    rows += [reply("c", "happy", "angry", 0), reply("c", "sad", "sorry", 1), reply("c", "sad", "oh", 0)]
    found = exhibits.fixed_words({"blsp-emo": {1: {"requests": rows}}}).iloc[0]
    assert found["pairs"] == 4  # the two sad clips of the last sentence are no pair
    assert (found["same"], found["both"], found["one"], found["neither"]) == (0.25, 0.25, 0.25, 0.25)


def test_training_runs_are_never_paired_with_each_other():
    runs = {seed: {"requests": [reply("a", tone, "x", 0)]} for seed, tone in ((1, "happy"), (2, "sad"))}
    assert exhibits.fixed_words({"blsp-emo": runs}).empty


def test_errors_are_counted_in_fifths_within_each_tone():
    ids = [f"{tone}-{place}" for tone in ("sad", "angry") for place in range(10)]
    levels = [*range(10), *range(100, 110)]  # every angry clip is louder than every sad one
    sounds = pd.DataFrame({"tone": [i.split("-")[0] for i in ids], "level": levels}, index=ids)
    rows = [  # the four softest of each tone go wrong
        {"id": i, "reference": tone, "predicted": "happy" if int(i[-1]) < 4 else tone, "speaker": "x"}
        for i, tone in zip(ids, sounds["tone"], strict=True)
    ]
    found = exhibits.errors_by_sound({"blsp-emo": {1: {"ser.acted": rows}}}, "ser.acted", sounds, ["blsp-emo"])
    assert found["error"].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert found["n"].tolist() == [4] * 5
    assert (found["low"] <= found["error"]).all() and (found["error"] <= found["high"]).all()


def test_what_was_not_run_gives_an_empty_frame(evaluated):
    predictions = {"text+llm": {1: {"ser.acted": []}}}
    sounds = pd.DataFrame({"tone": [], "level": []})
    assert exhibits.fixed_words(predictions).empty and exhibits.preferences({}).empty
    assert exhibits.errors_by_sound(predictions, "ser.acted", sounds, ["text+llm", "salmonn"]).empty
    assert exhibits.replies_table(exhibits.replies_to(predictions, "hello")).empty


def test_logs_of_several_seeds_stand_below_each_other(tmp_path):
    for seed in (1, 2, 3):
        (tmp_path / "blsp-emo").mkdir(exist_ok=True)
        pd.DataFrame({"step": [10, 20], "loss": [2.0, 1.0]}).to_csv(
            tmp_path / "blsp-emo" / f"seed{seed}.csv", index=False
        )
    found = exhibits.read_logs(tmp_path, ["blsp-emo", "blsp"], lambda _: [1, 2])
    assert list(found) == ["blsp-emo"]
    assert found["blsp-emo"]["seed"].tolist() == [1, 1, 2, 2]


def frame_of(rng, heard: bool) -> pd.DataFrame:
    tones = ["sad", "angry", "happy"] * 20
    cloud = rng.normal(size=(60, 4))
    cloud[:, 1] += [5 * (tone == "sad") - 5 * (tone == "angry") for tone in tones] if heard else 0
    who = pd.DataFrame({"id": range(60), "tone": tones, "speaker": [f"v{place // 12}" for place in range(60)]})
    return who.join(pd.DataFrame(cloud, columns=["d00", "d01", "d02", "d03"]))


def test_a_tone_that_is_in_the_embeddings_can_be_read_off_them():
    rng = np.random.default_rng(0)
    assert exhibits.readable_tone(frame_of(rng, True)) > 0.9
    assert exhibits.readable_tone(frame_of(rng, False)) < 0.5
    assert np.isnan(exhibits.readable_tone(frame_of(rng, True).assign(speaker="one")))


def test_clouds_bring_what_the_picture_takes():
    points, tones, notes = exhibits.clouds({"blsp": frame_of(np.random.default_rng(0), False)})
    assert points["blsp"].shape == (60, 4) and len(tones) == 60 and notes["blsp"].endswith(" %")
    assert exhibits.clouds({}) == ({}, [], {})


def test_pooled_embeddings_are_few_small_and_say_who_spoke(hearing_model, corpus):
    folder, utterances = corpus
    frame = embeddings.pooled(*hearing_model, utterances, folder)
    assert frame["id"].tolist() == [utterance.id for utterance in utterances]
    assert set(frame["tone"]) == {utterance.emotion for utterance in utterances}
    spread = frame[[column for column in frame if column.startswith("d0")]].var()
    assert len(spread) <= embeddings.DIMENSIONS and spread.is_monotonic_decreasing and spread.iloc[0] > 0


def figures_of(metric, value):
    return {metric: value, "intervals": {metric: [value - 0.1, value + 0.1]}, "n": 40}


@pytest.fixture
def metrics():
    heard = {f"ser.{corpus}": figures_of("wa", 0.5) for corpus in ("acted", "statements", "greek", "french", "russian")}
    return {"text+llm": {"ser.acted": figures_of("wa", 0.3)}, "blsp-emo": heard}


PUBLISHED = {
    "table1.iemocap.blsp-emo": {"value": 76.0, "uncertain": False, "words": None},
    "table1.iemocap.text+llm": {"value": None, "uncertain": False, "words": None},
    "table1.ravdess.text+llm": {"value": 11.1, "uncertain": True, "words": None},
}


def test_the_papers_number_stands_beside_the_measured_one(metrics):
    cells, numbers = beside.paper_table("table1", metrics, PUBLISHED)
    cells = cells.set_index("system")
    assert cells.loc["BLSP-Emo", "acted"] == "50.0 [40.0, 60.0]"
    assert cells.loc["BLSP-Emo", "IEMOCAP, paper"] == "76.0"
    assert cells.loc["Text + LLM", "IEMOCAP, paper"] == ""  # unknown, never filled
    assert cells.loc["Text + LLM", "RAVDESS, paper"] == "11.1?"
    row = numbers.set_index(["system", "column"]).loc[("blsp-emo", "iemocap")]
    assert (row["corpus"], row["value"], row["published"]) == ("acted", 0.5, 76.0)


def test_the_average_needs_all_three_languages(metrics):
    cells, _ = beside.paper_table("table3", metrics, {})
    assert cells["average"].tolist() == ["50.0"]
    del metrics["blsp-emo"]["ser.greek"]
    cells, _ = beside.paper_table("table3", metrics, {})
    assert "average" not in cells


def test_a_table_says_which_systems_and_corpora_it_lacks(metrics):
    said = beside.absences("table1", metrics)
    assert "SALMONN" in said and "MELD" in said and "BLSP-Emo" not in said and "IEMOCAP" not in said
    assert beside.paper_table("table2", metrics, {})[0].empty


def test_a_set_of_the_paper_answers_for_itself_where_it_was_met(metrics):
    metrics["blsp-emo"]["ser.iemocap"] = figures_of("wa", 0.9)
    cells, _ = beside.paper_table("table1", metrics, {})
    assert cells.set_index("system").loc["BLSP-Emo", "IEMOCAP"] == "90.0 [80.0, 100.0]"


def test_heads_stand_beside_answers_where_there_is_one():
    def rows(*heads):
        said = {"reference": "sad", "predicted": "happy"}
        return [{"id": str(i)} | said | ({"head": head} if head else {}) for i, head in enumerate(heads)]

    runs = {1: {"ser.acted": rows("sad", "sad"), "ser.talk": rows(None)}, 2: {"ser.acted": rows("angry", "sad")}}
    found = exhibits.heads_table({"blsp-emo": runs, "blsp": {1: {"ser.acted": rows(None)}}})
    assert found.values.tolist() == [["BLSP-Emo", "acted", "0.0 ±0.0", "75.0 ±35.4"]]
    assert exhibits.heads_table({}).empty
    folds = {seed: {"ser.acted": [row | {"id": f"{seed}"} for row in rows("sad")]} for seed in (1, 2)}
    assert exhibits.heads_table({"blsp-emo": folds}).values.tolist() == [["BLSP-Emo", "acted", "0.0", "100.0"]]


def test_voices_that_no_trial_was_judged_by_stand_apart():
    def row(speaker, right):
        said = {"reference": "sad", "predicted": "sad" if right else "happy"}
        return {"id": speaker, "speaker": speaker, "system": "blsp-emo", "task": "ser.acted", **said}

    folds = {1: {"ser.acted": [row("a", True), row("b", False)]}, 2: {"ser.acted": [row("c", True), row("d", True)]}}
    found = exhibits.unmet_table({"blsp-emo": folds}, ["a", "b"])
    (name, corpus, chosen, unmet) = found.values.tolist()[0]
    assert (name, corpus) == ("BLSP-Emo", "acted")
    assert chosen.startswith("50.0 [") and chosen.endswith("of 2") and unmet.startswith("100.0 [")
    assert exhibits.unmet_table({"blsp-emo": folds}, []).empty
    assert exhibits.unmet_table({"blsp-emo": folds}, ["a", "b", "c", "d"]).empty
