import json
from pathlib import Path

import pytest

from blsp_core.data.manifest import write_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation import ablations, claims, controls, pairwise
from blsp_core.evaluation.results import measure_all, read_figures, read_predictions, read_run, read_runs
from blsp_core.report import readme, tables
from blsp_core.report import summaries as report

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def published():
    return claims.read_published(ROOT / "data" / "published.json")


@pytest.fixture(scope="module")
def answered(evaluated):
    """Predictions of three systems, of which one was trained twice."""
    once = evaluated({"blsp-emo": 0.8, "text+llm": 0.0, "gold+llm": 1.0}, count=60)
    for tasks in once.values():
        tasks["dialogue"] = [row | {"task": "dialogue"} for row in tasks["requests"]]
    runs = {system: {1: tasks} for system, tasks in once.items()}
    runs["blsp-emo"][2] = {task: once["text+llm"][task] for task in once["text+llm"]}
    return runs


@pytest.fixture(scope="module")
def metrics(answered):
    return measure_all(answered, draws=50)


@pytest.fixture(scope="module")
def results(tmp_path_factory, published, answered, metrics):
    """A results folder as the pipeline leaves it."""
    folder = tmp_path_factory.mktemp("results")
    summary = {"study.seconds": 7200.0, "study.seconds_of_one_seed": 3600.0, "study.peak_memory_gb": 4.9}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "paper.json").write_text(json.dumps({"run": {"seconds": 9.0}, "systems": metrics}))
    (folder / "claims.json").write_text(json.dumps(claims.judge_claims(answered, published, draws=50)))
    (folder / "controls.json").write_text(json.dumps(controls.judge_controls(answered, draws=50)))
    return folder


def test_systems_stand_in_the_order_of_the_study_not_of_the_disk(results):
    assert list(tables.read_metrics(results)) == ["text+llm", "blsp-emo", "gold+llm"]


def test_a_cell_shows_the_measured_figure_its_interval_and_the_papers_number(results, published):
    metrics = tables.read_metrics(results)
    table = tables.recognition_table(metrics, published).set_index("system")
    figures = metrics["blsp-emo"]["ser.acted"]
    low, high = figures["intervals"]["wa"]
    spread = f"±{100 * figures['sd']['wa']:.1f}"
    shown = f"{100 * figures['wa']:.1f} [{100 * low:.1f}, {100 * high:.1f}] {spread} (76.0)"
    assert table.loc["BLSP-Emo", "acted (IEMOCAP)"] == shown
    assert table.loc["Text + LLM", "talk (MELD)"].endswith("(54.0?)")
    assert not {"(", "±"} & set(table.loc["Text + LLM", "acted (IEMOCAP)"])


def test_the_summary_is_flat_and_bears_the_agreed_names(metrics, answered):
    foundation = {"llm": {"object": 1.0, "tone": 0.99, "instructions": {}}, "asr": {"wer": 0.02}}
    runs = [{"seconds": 10.0, "peak_memory_gb": 1.5}, {"seconds": 5.0, "peak_memory_gb": 2.5}]
    flat = tables.summary(foundation, metrics, runs, pairwise.against_all(answered, draws=50))
    assert flat["foundation.llm.tone"] == 0.99
    assert flat["foundation.asr.wer"] == 0.02
    assert flat["ser.talk.blsp-emo.ua"] == metrics["blsp-emo"]["ser.talk"]["ua"]
    assert flat["ser.talk.blsp-emo.ua.sd"] == metrics["blsp-emo"]["ser.talk"]["sd"]["ua"] > 0
    assert flat["requests.text+llm.empathy"] == metrics["text+llm"]["requests"]["empathy"]
    assert "requests.text+llm.empathy.sd" not in flat
    outcomes = [flat[f"dialogue.blsp-emo.vs.text+llm.{outcome}"] for outcome in ("win", "tie", "loss")]
    assert sum(outcomes) == pytest.approx(1) and outcomes[0] > outcomes[2]
    assert (flat["study.seconds"], flat["study.peak_memory_gb"]) == (15.0, 2.5)
    assert all(isinstance(value, int | float) for value in flat.values())


def test_the_time_of_one_training_seed_counts_what_all_share_and_the_first():
    runs = [{"seconds": 10.0}, *({"seconds": 5.0 + seed, "train_seed": seed} for seed in (1, 2, 3))]
    flat = tables.summary({}, {}, runs)
    assert (flat["study.seconds"], flat["study.seconds_of_one_seed"]) == (31.0, 16.0)


def test_a_results_file_keeps_its_figures_apart_from_the_record_of_its_run(results):
    assert read_run(results / "paper.json") == {"seconds": 9.0}
    assert list(read_figures(results / "paper.json")) == ["systems"]


def test_predictions_are_read_by_system_seed_and_task_in_the_order_of_every_table(tmp_path, evaluated):
    for system, tasks in evaluated({"blsp-emo": 0.5, "text+llm": 0.0}, count=8).items():
        for seed in (1, 2, 7):
            write_jsonl(tmp_path / system / f"seed{seed}.jsonl", [row for rows in tasks.values() for row in rows])
    found = read_predictions(tmp_path, lambda name: [1, 2] if name == "blsp-emo" else [1])
    assert {system: list(runs) for system, runs in found.items()} == {"text+llm": [1], "blsp-emo": [1, 2]}
    assert list(found) == ["text+llm", "blsp-emo"]
    assert len(found["blsp-emo"][2]["ser.talk"]) == 8
    with pytest.raises(StudyError, match="no predictions of salmonn at any of the seeds \\[1, 2\\]; run"):
        read_predictions(tmp_path, lambda _: [1, 2], ["blsp-emo", "salmonn"])


def test_the_cost_of_the_study_is_that_of_its_present_runs(tmp_path):
    kept = ["foundation", "training/blsp/seed1", "training/blsp/seed2", "systems/blsp/seed1", "ablations"]
    for name in [*kept, "training/blsp/seed9", "training/gone/seed1", "paper"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.json").write_text(json.dumps({"run": {"seconds": 1.0 if name in kept else 100.0}}))
    (tmp_path / "claims.json").write_text("[]")
    assert sum(run["seconds"] for run in read_runs(tmp_path, lambda _: [1, 2], ["blsp"])) == len(kept)


def test_examples_show_the_first_right_and_the_first_wrong_answers(evaluated):
    rows = evaluated({"blsp": 0.5}, count=40)["blsp"]["ser.acted"]
    shown = report.examples(rows, count=2)
    assert shown["right"].tolist() == [True, True, False, False]
    assert shown["answer"][0] == next(row["response"] for row in rows if row["predicted"] == row["reference"])


def test_the_most_frequent_emotion_is_the_chance_of_a_corpus(results):
    assert tables.most_frequent(tables.read_metrics(results))["requests"] == pytest.approx(0.25)


def test_unmeasured_claims_keep_their_published_numbers(results, published):
    rows = json.loads((results / "claims.json").read_text())
    table = tables.claims_table(rows, published)
    row = table.iloc[[r["id"] for r in rows].index("in-domain-classifiers")]
    assert row["published"] == "IEMOCAP 76.0 vs 69.3, 64.6, 68.9; MELD 57.3 vs 54.8, 53.2, 54.6"
    assert (row["measured"], row["difference"], row["verdict"]) == ("", "", "not measured")


def test_balanced_accuracy_is_never_mixed_with_accuracy(published):
    figures = {"blsp-emo.wa": 0.829, "text+llm.wa": 0.111, "blsp-emo.ua": 0.824, "text+llm.ua": 0.2}
    claim = {
        "claim": "", "where": "", "published": {}, "interval": None, "test": "", "verdict": "reproduced",
        "measured": {f"ser.statements.{name}": value for name, value in figures.items()},
    }  # fmt: skip
    table = tables.claims_table([claim], published)
    assert table["measured"][0] == "statements 82.9 vs 11.1; statements, balanced 82.4 vs 20.0"


def test_replies_to_one_sentence_stand_tone_by_tone():
    said = [{"text": "help me", "reference": tone, "response": f"a {tone} reply"} for tone in ("sad", "happy")]
    other = {"text": "another", "reference": "angry", "response": "no"}
    table = report.replies_table({"blsp-emo": {"showcase": [*said, other]}}, "help me")
    assert table.values.tolist() == [["happy", "a happy reply"], ["sad", "a sad reply"]]


def test_the_readme_gets_the_results_between_its_markers_and_again_without_change(results, published, tmp_path):
    page, (start, end) = tmp_path / "README.md", readme.markers("mini")
    page.write_text(f"# Study\n\n{start}\nold\n{end}\n\nthe rest\n")
    readme.renew(page, "mini", readme.results_block(results, published))
    once = page.read_text()
    assert "old" not in once and "| BLSP-Emo |" in once and once.endswith("\n\nthe rest\n")
    assert "no system does better (worse it may) than one that has only words. |  | not measured |" in once
    readme.renew(page, "mini", readme.results_block(results, published))
    assert page.read_text() == once


def test_a_scale_without_verdicts_shows_systems_balanced_recall_and_heads(results, published, tmp_path):
    (tmp_path / "balanced.csv").write_text("system,ravdess\nBLSP-Emo,80.0\n")
    (tmp_path / "heads.csv").write_text("system,corpus,asked in words,emotion head\nBLSP-Emo,ravdess,79.0,\n")
    (tmp_path / "unmet.csv").write_text("system,corpus,voices that no trial was judged by\nBLSP-Emo,ravdess,78.0\n")
    said = readme.systems_block(results, tmp_path, published)
    assert "| BLSP-Emo | ravdess | 78.0 |" in said
    assert "| BLSP-Emo | 80.0 |" in said and "| BLSP-Emo | ravdess | 79.0 |  |" in said and "verdict" not in said


def test_a_readme_without_markers_is_refused(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("# Study\n")
    with pytest.raises(StudyError, match="<!-- results mini -->"):
        readme.renew(page, "mini", "this")


@pytest.mark.parametrize("scale", readme.SCALES)
def test_the_readme_shows_the_results_on_disk(scale, published):
    page, (start, end) = ROOT / "README.md", readme.markers(scale)
    if not (page.is_file() and (ROOT / "data" / scale / "results" / "summary.json").is_file()):
        pytest.skip(f"no results of the scale {scale} yet")
    between = page.read_text(encoding="utf-8").split(start)[1].split(end)[0]
    assert between.strip() == readme.block(scale, ROOT, published), "run python -m blsp_core.report.readme"


def test_dialogues_show_who_is_preferred_and_what_the_paper_said(answered, published):
    answered = answered | {"whisper+llm": answered["text+llm"]}
    table = tables.dialogue_table(pairwise.against_all(answered, draws=50), published).set_index("against")
    assert table.loc["Whisper + LLM", "paper"] == "wins or ties in most cases?"
    assert table.loc["Text + true tone", "paper"] == ""
    assert table.loc["Text + LLM", "win - loss"].startswith("+")


def test_variants_are_set_against_the_whole_at_each_seed_and_over_all(answered):
    variant = {seed: answered["text+llm"][1] for seed in (1, 2)}
    frame = ablations.differences(answered | {"frozen-encoder": variant}, ["frozen-encoder"], draws=50)
    assert set(frame["seed"]) == {"all", "1", "2"}
    acted = frame[frame["measure"] == "acted"].set_index("seed")
    assert acted.loc["all", "difference"] == pytest.approx(acted.loc[["1", "2"], "difference"].mean())
    assert acted.loc["2", "difference"] == 0 and acted.loc["1", "p_holm"] < 0.01
    assert (frame["p_holm"] >= frame["p"]).all()
    table = report.differences_table(frame, "1")
    assert table.loc[0, "acted"].endswith("*") and table.loc[0, "acted"].startswith("-")
    assert ablations.changed(["blsp-emo", "salmonn", "share-25", "multitask"]) == ["multitask"]


def test_the_learning_curve_needs_a_run_on_less_than_the_whole(answered):
    assert ablations.learning_curve(answered, draws=50).empty
    curve = ablations.learning_curve(answered | {"share-25": {1: answered["text+llm"][1]}}, draws=50)
    acted = curve[curve["measure"] == "acted"].set_index("share")
    assert list(acted.index) == [0.25, 1.0]
    assert acted.loc[1.0, "value"] > acted.loc[0.25, "value"]


def test_a_study_without_variants_has_empty_tables(answered):
    assert report.differences_table(ablations.differences(answered, [])).empty
