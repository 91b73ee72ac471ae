"""Results of several worlds side by side, by hand-made claims and figures."""

import json

import pandas as pd

from blsp_core.report import worlds

INTERVAL = {"measured": {"difference": 0.25}, "interval": [0.2, 0.3]}


def world(folder, accuracy, verdict):
    folder.mkdir(parents=True)
    judged = [{"title": "one", "verdict": verdict, **INTERVAL}]
    judged += [{"title": "two", "verdict": "not measured", "measured": None, "interval": None}]
    (folder / "claims.json").write_text(json.dumps(judged), encoding="utf-8")
    figures = [("blsp-emo", "ser.acted", "wa", accuracy), ("blsp-emo", "requests", "quality", 0.75)]
    figures += [("blsp-emo", "dialogue", "quality", 0.5), ("blsp-emo", "ser.control", "wa", 0.5)]
    figures += [("blsp-emo", "ser.acted", "ua", 0.1), ("text+llm", "ser.acted", "wa", 0.1)]
    frame = pd.DataFrame(figures, columns=["system", "task", "metric", "value"])
    frame.to_csv(folder / "metrics.csv", index=False)


def test_worlds_are_read_in_order_and_summarised(tmp_path):
    world(tmp_path / "11", 0.5, "inconclusive")
    world(tmp_path / "2", 0.6, "reproduced")
    found = worlds.read_worlds(tmp_path, {})
    assert list(found) == ["2", "11"] and list(worlds.read_worlds(tmp_path, {"3": found["2"]})) == ["2", "3", "11"]
    frame = worlds.figures(found, ["blsp-emo"])
    assert set(frame["measure"]) == {"acted", "quality"} and len(frame) == 4
    (row,) = worlds.figures_table(frame).to_dict("records")
    assert row == {"system": "BLSP-Emo", "acted": "55.0 (50.0–60.0)", "quality": "75.0 (75.0–75.0)"}
    (row,) = worlds.verdicts_table(found).to_dict("records")
    assert row["world 2"] == "reproduced +25.0 [20.0, 30.0]" and row["world 11"] == "inconclusive +25.0 [20.0, 30.0]"
    assert row["all"] == "mixed (2) +25.0" and row["claim"] == "one"  # two are too few for an interval
    world(tmp_path / "12", 0.7, "reproduced")
    (row,) = worlds.verdicts_table(worlds.read_worlds(tmp_path, {})).to_dict("records")
    assert row["all"] == "mixed (3) +25.0 [25.0, 25.0]"
    marks = worlds.figures_plot(frame).axes[0].lines[0].get_ydata()
    assert sorted(marks.round(1)) == [50.0, 60.0, 75.0, 75.0]


def test_one_world_alone_is_not_drawn(tmp_path):
    world(tmp_path / "2", 0.6, "reproduced")
    assert worlds.figures_plot(worlds.figures(worlds.read_worlds(tmp_path, {}), ["blsp-emo"])) is None
    assert worlds.read_worlds(tmp_path / "none", {}) == {}


def test_other_llms_have_a_row_each_with_their_own_accuracy(tmp_path):
    for name, share in (("all", 0.9), ("no-noise", 0.5)):
        (tmp_path / name).mkdir()
        own = {"ser.acted": {"wa": share}, "ser.control": {"wa": 0.2}, "ser.acted@telephone": {"wa": 0.1}}
        own |= {"run": {}, "requests": {"quality": 1.0, "empathy": share}}
        parts = {"llm": {"object": 0.99, "emotion": 0.5}, "blsp-emo": own}
        for part, found in parts.items():
            (tmp_path / name / f"{part}.json").write_text(json.dumps(found))
    rows = worlds.other_llms(tmp_path).to_dict("records")
    assert rows[1] == {
        "LLM": "no-noise", "LLM on text: object": "99.0", "LLM on text: emotion": "50.0", "acted": "50.0",
        "quality": "100.0", "empathy": "50.0",
    }  # fmt: skip
    assert [row["acted"] for row in rows] == ["90.0", "50.0"] and worlds.other_llms(tmp_path / "none").empty
