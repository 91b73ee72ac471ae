import json
from pathlib import Path

import pytest

from blsp_core.errors import StudyError
from blsp_core.study import claims, judging, report, tables

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def published():
    return claims.read_published(ROOT / "data" / "published.json")


@pytest.fixture(scope="module")
def results(tmp_path_factory, published, evaluated):
    """A results folder of three systems, as the pipeline leaves it."""
    folder = tmp_path_factory.mktemp("results")
    predictions = evaluated({"blsp-emo": 0.8, "text+llm": 0.0, "gold+llm": 1.0}, count=60)
    for system, tasks in predictions.items():
        (folder / "systems" / system).mkdir(parents=True)
        figures = judging.measure_all(tasks, draws=50)
        (folder / "systems" / system / "metrics.json").write_text(json.dumps({"run": {"seconds": 1.0}} | figures))
    judged = claims.judge_claims(predictions, published, draws=50)
    (folder / "claims.json").write_text(json.dumps(judged))
    return folder


def test_systems_stand_in_the_order_of_the_study_not_of_the_disk(results):
    assert list(tables.read_metrics(results)) == ["text+llm", "blsp-emo", "gold+llm"]


def test_a_cell_shows_the_measured_figure_its_interval_and_the_papers_number(results, published):
    metrics = tables.read_metrics(results)
    table = tables.recognition_table(metrics, published).set_index("system")
    figures = metrics["blsp-emo"]["ser.acted"]
    low, high = figures["intervals"]["wa"]
    shown = f"{100 * figures['wa']:.1f} [{100 * low:.1f}, {100 * high:.1f}] (76.0)"
    assert table.loc["BLSP-Emo", "acted (IEMOCAP)"] == shown
    assert table.loc["Text + LLM", "talk (MELD)"].endswith("(54.0?)")
    assert "(" not in table.loc["Text + LLM", "acted (IEMOCAP)"]


def test_the_summary_is_flat_and_bears_the_agreed_names(results):
    metrics = tables.read_metrics(results)
    foundation = {"llm": {"object": 1.0, "tone": 0.99, "instructions": {}}, "asr": {"wer": 0.02}}
    runs = [{"seconds": 10.0, "peak_memory_gb": 1.5}, {"seconds": 5.0, "peak_memory_gb": 2.5}]
    flat = tables.summary(foundation, metrics, runs)
    assert flat["foundation.llm.tone"] == 0.99
    assert flat["foundation.asr.wer"] == 0.02
    assert flat["ser.talk.blsp-emo.ua"] == metrics["blsp-emo"]["ser.talk"]["ua"]
    assert flat["requests.text+llm.empathy"] == metrics["text+llm"]["requests"]["empathy"]
    assert (flat["study.seconds"], flat["study.peak_memory_gb"]) == (15.0, 2.5)
    assert all(isinstance(value, int | float) for value in flat.values())


def test_a_results_file_keeps_its_figures_apart_from_the_record_of_its_run(results):
    path = results / "systems" / "blsp-emo" / "metrics.json"
    assert tables.read_run(path) == {"seconds": 1.0}
    assert list(tables.read_figures(path)) == ["ser.acted", "ser.talk", "ser.statements", "ser.requests", "requests"]


def test_examples_show_the_first_right_and_the_first_wrong_answers(evaluated):
    rows = evaluated({"blsp": 0.5}, count=40)["blsp"]["ser.acted"]
    shown = report.examples(rows, count=2)
    assert shown["right"].tolist() == [True, True, False, False]
    assert shown["answer"][0] == next(row["response"] for row in rows if row["predicted"] == row["reference"])


def test_the_most_frequent_emotion_is_the_chance_of_a_corpus(results):
    assert tables.most_frequent(tables.read_metrics(results))["requests"] == 0.25


def test_unmeasured_claims_keep_their_published_numbers(results, published):
    rows = json.loads((results / "claims.json").read_text())
    table = tables.claims_table(rows, published)
    row = table.iloc[[r["id"] for r in rows].index("in-domain-classifiers")]
    assert row["published"] == "IEMOCAP 76.0 vs 69.3, 64.6, 68.9; MELD 57.3 vs 54.8, 53.2, 54.6"
    assert (row["measured"], row["difference"], row["verdict"]) == ("", "", "not measured")


def test_replies_to_one_sentence_stand_tone_by_tone():
    said = [{"text": "help me", "reference": tone, "response": f"a {tone} reply"} for tone in ("sad", "happy")]
    other = {"text": "another", "reference": "angry", "response": "no"}
    table = report.replies_table({"blsp-emo": {"showcase": [*said, other]}}, "help me")
    assert table.values.tolist() == [["happy", "a happy reply"], ["sad", "a sad reply"]]


def test_the_readme_gets_the_results_between_its_markers_and_again_without_change(results, published, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Study\n\n{tables.START}\nold\n{tables.END}\n\nthe rest\n")
    tables.renew_readme(readme, results, published)
    once = readme.read_text()
    assert "old" not in once and "| BLSP-Emo |" in once and once.endswith("\n\nthe rest\n")
    tables.renew_readme(readme, results, published)
    assert readme.read_text() == once


def test_a_readme_without_markers_is_refused(results, published, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Study\n")
    with pytest.raises(StudyError, match="<!-- results -->"):
        tables.renew_readme(readme, results, published)


def test_the_readme_shows_the_results_on_disk(published):
    readme, results = ROOT / "README.md", ROOT / "data" / "mini" / "results"
    if not (readme.is_file() and (results / "claims.json").is_file()):
        pytest.skip("no results of the mini scale yet")
    between = readme.read_text(encoding="utf-8").split(tables.START)[1].split(tables.END)[0]
    assert between.strip() == tables.readme_block(results, published), "run python -m blsp_core.study.tables readme"
