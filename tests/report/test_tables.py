import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from blsp_core.evaluation import claims, controls
from blsp_core.evaluation.results import measure_all, tasks_of
from blsp_core.report import headline, plots, run_files, tables, tables_claims, tables_clips

DATA = Path(__file__).parents[2] / "data"


def named(place: int, predicted: str, reference: str = "sad", speaker: str = "ann", **more) -> dict:
    """A row of recognition."""
    row = {"id": f"acted-{place}", "text": f"t{place}", "task": "ser.acted", "speaker": speaker}
    return row | {"reference": reference, "predicted": predicted} | more


@pytest.fixture(scope="module")
def published():
    return claims.read_published(DATA / "published.json")


@pytest.fixture(scope="module")
def metrics(predictions):
    return measure_all(predictions)


def test_a_cell_has_mean_interval_spread_and_the_papers_number_and_own_sets_come_before_mirrors(metrics, published):
    table = tables.paper_table("table1", metrics, published).set_index("system")
    found = metrics["blsp-emo"]["ser.acted"]
    low, high = (f"{100 * end:.1f}" for end in found["intervals"]["wa"])
    shown = f"{100 * found['wa']:.1f} [{low}, {high}] ±{100 * found['sd']['wa']:.1f} (76.0)"
    assert table.loc["BLSP-Emo", "acted (IEMOCAP)"] == shown
    assert table.loc["Text+LLM", "talk (MELD)"].endswith("(54.0?)")
    assert "(" not in table.loc["BLSP", "acted (IEMOCAP)"] and "±" not in table.loc["BLSP", "acted (IEMOCAP)"]
    assert list(table.index) == ["Text+LLM", "Whisper+LLM", "linear probe", "BLSP", "BLSP-Emo"]
    both = {name: tasks | {"ser.iemocap": tasks["ser.talk"]} for name, tasks in metrics.items()}
    assert list(tables.paper_table("table4", both, published)) == ["system", "IEMOCAP", "statements (RAVDESS)"]


def test_replies_have_columns_of_their_own_where_they_were_judged(predictions, metrics, published):
    table = tables.paper_table("table2", metrics, published).set_index("system")
    assert list(table) == ["requests (SpeechAlpaca)", "quality", "empathy"]
    assert table.loc["linear probe", "quality"] == "" and table.loc["BLSP-Emo", "quality"].endswith("(8.8)")
    assert "quality" not in tables.overview(metrics, published, metric="ua")
    metrics = measure_all({"blsp": {1: {"ser.acted": predictions["blsp"][1]["ser.acted"]}}})
    assert tables.requests(metrics).empty
    assert list(tables.overview(metrics, published)) == ["system", "acted (IEMOCAP)"]


def test_the_word_error_rate_of_the_transcripts_is_beside_every_result_of_a_cascade(predictions, published):
    metrics = measure_all(predictions, {"acted": 0.011, "requests": 0.02, "dialogue": 0.5})
    for name, rates in (("table1", "acted 1.1"), ("table2", "requests 2.0")):
        table = tables.paper_table(name, metrics, published).set_index("system")
        assert table[tables.WER].to_dict() == dict.fromkeys(table.index, "") | {"Whisper+LLM": rates}, name
    assert tables.WER not in tables.paper_table("table4", metrics, published)
    assert tables.overview(metrics, {}, metric="ua")[tables.WER].tolist().count("acted 1.1, requests 2.0") == 1
    pairs = dict.fromkeys(("win", "tie", "loss", "flips", "unjudged", "preference"), 0.5) | {"interval": [0, 1]}
    dialogues = {f"blsp-emo.vs.{name}": pairs for name in ("whisper+llm", "text+llm")}
    assert tables.dialogue_table(dialogues, published, metrics)[tables.WER].tolist() == ["dialogue 50.0", ""]


def test_the_judge_and_what_it_left_without_a_mark_are_one_sentence(metrics):
    assert tables.judging(metrics, "toy").endswith("could not be parsed: none.")
    some = {"blsp": {"requests": {"unjudged": 0.25}, "ser.acted": {}}}
    assert "BLSP 25.0 % (requests)" in tables.judging(some, "a-judge")
    assert tables.judging({}, "").startswith("There is no judge (`evaluation.judge.model` is empty)")


def test_metrics_are_one_long_table_and_what_was_not_evaluated_is_named_once(metrics):
    frame = tables.long(metrics)
    assert list(frame) == ["system", "task", "metric", "value", "low", "high", "sd", "runs", "n"]
    row = frame.set_index(["system", "task", "metric"]).loc["blsp-emo", "requests", "empathy"]
    assert (row["runs"], row["n"]) == (2, 60) and row["low"] <= row["value"] <= row["high"]
    assert tables.one_system(metrics["probe"])["task"].tolist() == [*metrics["probe"]]
    assert tables.most_frequent(metrics)["acted"] == pytest.approx(0.2)
    sentence = tables.absences(metrics)
    assert "SALMONN-style Q-Former" in sentence and "no-emotion-loss" in sentence and "AESDD" in sentence
    assert "BLSP-Emo" not in sentence and "MELD" not in sentence


def test_errors_are_counted_in_fifths_within_each_emotion():
    sounds = pd.DataFrame({"emotion": ["sad"] * 10 + ["angry"] * 10, "level": [*range(10), *range(100, 110)]})
    rows = sounds.reset_index(names="id").rename(columns={"emotion": "reference"}).assign(system="", task="")
    rows["text"] = rows.index.map(str)
    rows["predicted"] = rows["reference"].where(rows["level"] % 100 > 3, "happy")  # the four softest are errors
    rows = rows.assign(speaker=rows.index % 4).to_dict("records")
    predictions = {"blsp-emo": {1: {"ser.acted": rows}}}
    found = tables_clips.errors_by_sound(predictions, "ser.acted", sounds, ["blsp-emo", "salmonn"])
    assert found["value"].tolist() == [1, 1, 0, 0, 0] and found["n"].tolist() == [4] * 5
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()
    assert tables_clips.errors_by_sound({}, "ser.", pd.DataFrame(), ["blsp-emo"]).empty


def test_heads_have_rows_only_where_they_were_evaluated(predictions):
    assert tables_clips.heads_table(predictions).empty
    rows = [row | {"head": row["reference"]} for row in predictions["blsp-emo"][1]["ser.acted"]]
    table = tables_clips.heads_table({"blsp-emo": {1: {"ser.acted": rows}}})
    assert table.loc[0, "emotion head"] == 100 and table.loc[0, "LLM"] < 100


def test_examples_are_right_and_wrong_answers_and_replies_to_one_sentence_a_row_for_each_emotion(predictions):
    shown = tables.examples(predictions["probe"][1]["ser.acted"], count=2)
    assert shown["right"].tolist() == [True, True, False, False]
    first = {system: runs[1] for system, runs in predictions.items()}
    table = tables.replies_table(first, "words")
    assert table["emotion"].tolist() == ["neutral", "happy", "sad", "angry", "surprise"]
    assert list(table)[1:] == ["Text+LLM", "Whisper+LLM", "BLSP", "BLSP-Emo"]
    assert tables.replies_table(first, "other words").empty


def test_embeddings_come_with_the_accuracy_of_a_probe():
    emotions, noise = ["sad", "angry", "happy"] * 20, np.random.default_rng(0).normal(size=(2, 60))
    frame = pd.DataFrame({"emotion": emotions, "speaker": np.arange(60) // 12, "d00": noise[0], "d01": noise[1]})
    frame["d00"] += 5 * frame["emotion"].map({"sad": 1, "angry": -1, "happy": 0})
    found, labels, notes = run_files.clouds({"blsp": frame, "blsp-emo": frame.iloc[:0]})
    assert found["blsp"].shape == (60, 2) and labels == emotions and int(notes["blsp"].split()[2]) > 90
    assert run_files.clouds({"blsp": frame.assign(speaker="s")})[2] == {"blsp": ""}


def test_claims_show_the_decisive_difference_or_why_there_is_none(predictions, published):
    asked = claims.read_claims(DATA / "claims.yaml")
    excluded = {"requests": {"text+llm": "its LLM fails"}}
    judged = claims.judge_claims(predictions, published, asked, excluded=excluded)
    rows = tables_claims.claims_table(judged).set_index(pd.Index(claim["id"] for claim in judged))
    assert rows["difference"]["recognition-text"].startswith("+") and rows["difference"]["recognition-salmonn"] == ""
    assert rows["verdict"]["recognition-text"] == "reproduced"
    assert rows["null system"]["recognition-text"] == "blsp fails"
    assert rows["verdict"]["recognition-salmonn"] == "not measured"
    assert rows["verdict"]["requests-quality"].startswith("not measured: text+llm is excluded")
    assert len(tables_claims.claims_table(controls.judge_controls(predictions, asked))) == 4


def test_the_worlds_that_would_decide_a_claim_grow_as_the_difference_nears_its_threshold():
    asked = [one for one in claims.read_claims(DATA / "claims.yaml") if one.test in ("greater", "kept")][:4]
    fixed = {"decisive": "x", "detectable": 0.08}
    differences = {"greater": (0.04, -0.02), "kept": (-0.059,)}
    rows, wanted = [], []
    for one in asked:
        difference, *differences[one.test] = differences[one.test] if differences[one.test] else (0.3,)
        rows.append({"verdict": "inconclusive" if difference < 0.3 else "yes", "measured": {"difference": difference}})
        wanted += [] if difference == 0.3 else [0.009 if one.test == "kept" else 0.04]
    runs = {"blsp": {"from": "llm"}, "blsp-emo": {"from": "models/blsp"}, "alone": {"from": "models/blsp"}}
    seconds = {None: 60.0, "blsp": 120.0, "blsp-emo": 180.0, "alone": 6000.0}
    records = [{"run": name, "seconds": of_run} for name, of_run in seconds.items()]
    table = tables_claims.power_table([row | fixed for row in rows], asked, records, runs)
    assert sorted(table["distance, points"]) == pytest.approx(sorted(100 * one for one in wanted))
    assert table["distance, points"].is_monotonic_decreasing
    spread = (norm.ppf(1 - 0.025 / len(rows)) + norm.ppf(0.8)) / (norm.ppf(1 - 0.025) + norm.ppf(0.8))
    worlds = [math.ceil((spread * 0.08 / one) ** 2) for one in sorted(wanted, reverse=True)]
    assert list(table["worlds"]) == [f"{count}" if count <= 100 else "> 100" for count in worlds] and max(worlds) > 100
    assert list(table["minutes"]) == [f"{6 * count}" if count <= 100 else "" for count in worlds]
    assert tables_claims.power_table([{"verdict": "yes"}] * 4, asked, records, runs).empty


def test_differences_show_a_star_where_the_adjusted_p_is_small():
    row = {"variant": "no-lora", "measure": "acted", "seed": "all", "difference": -0.1, "low": -0.2, "high": 0.0}
    table = tables.differences_table(pd.DataFrame([row | {"p_holm": 0.012}]))
    assert table.to_dict("records") == [{"variant": "no-lora", "acted": "-10.0 [-20.0, 0.0] p .012*"}]
    assert tables.differences_table(pd.DataFrame([row]).iloc[:0]).empty


def test_logs_and_records_are_those_of_the_present_runs_and_the_summary_is_short(metrics, tmp_path):
    places = {"blsp-emo": {1: "core/blsp-emo", 2: "extra/blsp-emo-2"}, "probe": {1: "core/probe"}}
    for name in ("training/core/blsp-emo", "training/extra/blsp-emo-2", "training/core/gone", "llm"):
        (tmp_path / name).mkdir(parents=True)
        pd.DataFrame({"step": [10, 20]}).to_csv(tmp_path / name / "log.csv", index=False)
        run = {"section": name.split("/")[0], "seconds": 60.0, "peak_memory_gb": 1.0}
        (tmp_path / name / "results.json").write_text(json.dumps({"run": run}))
    logs = run_files.read_logs(tmp_path, places)
    assert list(logs) == ["blsp-emo"] and logs["blsp-emo"]["seed"].tolist() == [1, 1, 2, 2]
    cost = run_files.cost_table(run_files.read_records(tmp_path, places)).set_index("stage")
    assert cost["runs"].to_dict() == {"llm": 1, "training": 2} and cost["minutes"].sum() == 3
    found = tables.summary(metrics, [{"seconds": 90}], {"object": 0.99, "emotion": 0.97}, {"wer": 0.01})
    assert list(found) == ["wer", "llm", "acted", "statements", "requests", "quality", "empathy", "minutes"]
    assert (found["llm"], found["minutes"], found["quality"]) == (0.97, 1.5, 1.0)
    assert list(tables.summary({}, [], {}, {})) == ["minutes"]


def test_replies_about_their_request_mention_it_more_often_than_the_other_requests():
    texts = ["please paint the door", "please sing the song", "please find the dog"]
    said = {"blsp-emo": ["the door is blue", "a song it is", "no"], "blsp": ["the door"] * 3, "probe": []}
    rows = {
        name: [{"text": t, "response": r, "speaker": t} for t, r in zip(texts, replies, strict=False)]
        for name, replies in said.items()
    }
    predictions = {name: {1: {"requests": found}} for name, found in rows.items()}
    table = tables_clips.mentions_table(predictions).set_index("system")
    shares = {name: [float(cell.split()[0]) for cell in row] for name, row in table.T.items()}
    assert shares == {"BLSP-Emo": [66.7, 0.0, 66.7], "BLSP": [33.3, 33.3, 0.0]}


def test_real_corpora_are_in_the_main_table_and_an_unseen_language_in_table_3(predictions):
    renamed = {"ser.acted": "ser.ravdess", "ser.talk": "ser.emodb", "requests": "requests"}
    real: dict[str, dict] = {name: {1: {}} for name in predictions}
    for name, runs in predictions.items():
        for old, new in renamed.items():
            real[name][1][new] = [row | {"task": new} for row in runs[1].get(old, [])]
    metrics = measure_all(real)
    assert list(tables.main_systems(metrics)) == ["system", "RAVDESS", "EmoDB", "quality", "empathy"]
    assert list(tables.paper_table("table3", metrics, {})) == ["system", "EmoDB"]
    assert "EmoDB" not in tables.absences(metrics)
    mini = measure_all(predictions)
    assert list(tables.main_systems(mini))[1:3] == ["acted (IEMOCAP)", "statements (RAVDESS)"]


def test_classifiers_without_pretrained_weights_are_named():
    classifier = {"hub": {"hubert": "a-folder"}}
    assert tables.random_weights(classifier, ["wav2vec2+llm", "hubert+llm", "blsp"]).endswith("paper: wav2vec 2.0+LLM.")
    assert tables.random_weights(classifier, ["hubert+llm", "blsp"]) == ""


def test_a_reply_of_several_lines_is_one_line_in_a_table():
    row = {"text": "so", "reference": "sad", "response": "First:\n\n1. this\n2. that", "predicted": "sad"}
    table = tables.replies_table({"blsp": {"showcase": [row]}}, "so")
    assert table["BLSP"].tolist() == ["First: 1. this 2. that"] == tables.examples([row])["answer"].tolist()


def test_the_weakest_emotion_and_speaker_are_named():
    said = ("ann", "happy"), ("ann", "sad"), ("bob", "happy"), ("bob", "sad"), ("ann", "happy")
    rows = [named(i, "sad" if who == "bob" else emotion, emotion, who) for i, (who, emotion) in enumerate(said)]
    table = tables_clips.weakest_table({"blsp-emo": {1: {"ser.acted": rows}}}, ["blsp-emo", "probe"])
    (row,) = table.to_dict("records")
    assert (row["weakest emotion"], row["weakest speaker"]) == ("happy: 66.7 (n = 3)", "bob: 50.0 (n = 2)")


def test_altered_clips_are_compared_with_the_same_clips_as_they_are():
    plain = [named(i, "sad", speaker=f"s{i % 6}") for i in range(30)]
    noisy = [row | {"predicted": "sad" if i % 2 else "happy"} for i, row in enumerate(plain[::3])]
    both = {"blsp-emo": {1: {"ser.c": plain, "ser.c@noise5": noisy}}, "probe": {1: {"ser.c": plain}}}
    assert tasks_of(both["blsp-emo"]) == ["ser.c"]
    frame = tables_clips.robustness(both)
    found = {row["condition"]: (row["value"], row["n"]) for row in frame.to_dict("records")}
    assert found == {"unaltered": (1.0, 10), "SNR 5 dB": (0.5, 10)}
    assert list(tables_clips.robustness_table(frame)) == ["corpus", "condition", "BLSP-Emo"]


def test_the_head_has_its_calibration_error():
    rows = [named(i, "sad", head="sad" if i < 6 else "happy", head_share=0.9) for i in range(10)]
    (row,) = tables_clips.heads_table({"blsp-emo": {1: {"ser.acted": rows}}}).to_dict("records")
    assert (row["emotion head"], row["its confidence"], row["calibration error"]) == (60.0, 90.0, 30.0)


def test_earlier_verdicts_are_counted_with_their_changes_and_the_field_has_sources():
    before = pd.DataFrame({"a": ["reproduced", "not measured"], "b": ["inconclusive", ""]}, index=["one", "two"])
    table = tables_claims.verdicts_before(before, [{"id": "one", "verdict": "uninformative"}]).set_index("claim")
    assert table.loc["one", ["reproduced", "inconclusive", "changes", "now"]].tolist() == [1, 1, 1, "uninformative"]
    assert table.loc["two", "now"] == "" and "not measured" not in table
    assert tables_claims.field(DATA / "published.json")["source"].all()


def test_clips_to_play_are_requests_in_every_emotion_an_unseen_language_and_a_confident_error():
    def row(name, reference, predicted=None, **more):
        return {"id": name, "text": "words", "reference": reference, "predicted": predicted, "response": name} | more

    requests = [row(f"requests-test-{i}", e) for i, e in enumerate(("happy", "sad"))]
    greek = [row("greek-test-0", "sad", "happy"), row("greek-test-1", "sad", "sad")]
    tasks = {"requests": requests, "ser.greek": greek}
    heads = (("happy", 0.4), ("happy", 0.9), ("sad", 1.0))  # the last head is right, where the LLM is wrong
    heads = enumerate(heads)
    errors = [row(f"statements-test-{i}", "sad", "happy", head=head, head_share=share) for i, (head, share) in heads]
    predictions = {"blsp-emo": {1: tasks | {"ser.statements": errors}}, "blsp": {1: {"requests": requests[:1]}}}
    found = tables_clips.clips_to_play(predictions, ["blsp", "blsp-emo", "probe"])
    assert [clip["id"] for clip in found] == [
        "requests-test-0", "requests-test-1", "greek-test-1", "statements-test-1",
    ]  # fmt: skip
    assert [list(clip["answers"]) for clip in found[:2]] == [["blsp", "blsp-emo"], ["blsp-emo"]]
    old = [{name: value for name, value in one.items() if name != "head_share"} for one in errors]
    without = {"blsp-emo": {1: {"ser.statements": old}}}  # predictions of an earlier version
    assert tables_clips.clips_to_play(without, ["blsp-emo"]) == []
    html = headline.players(found, [np.zeros(1600, np.float32)] * 4)
    assert html.count("<audio") == html.count("aria-label") == 4 and "a confident error: sad, by the head happy" in html


def test_where_words_and_voice_disagree_it_counts_which_of_them_a_system_follows():
    named = ["sad", "happy", "angry", None]
    rows = [{"id": str(i), "speaker": f"s{i}", "text": f"t{i}", "reference": "sad", "predicted": one} for i, one in
            enumerate(named)]  # fmt: skip
    predictions = {name: {1: {"ser.control": rows, "ser.acted": rows}} for name in ("blsp-emo", "whisper+llm")}
    two = {row["id"]: {"words": "sad", "voice": "happy"} for row in rows}
    frame = tables_clips.contradictions(predictions, two)
    found = frame[frame["system"] == "blsp-emo"].set_index("named")
    assert found["value"].to_dict() == {"words": 0.25, "voice": 0.25, "another": 0.5} and set(found["n"]) == {4}
    table = tables_clips.contradictions_table(frame)
    assert list(table["system"]) == ["Whisper+LLM", "BLSP-Emo"] and plots.contradictions(frame) is not None
    assert tables_clips.contradictions(predictions, {}).empty
