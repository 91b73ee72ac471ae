from itertools import cycle

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from blsp_core.data.manifest import EMOTIONS
from blsp_core.evaluation.metrics import score
from blsp_core.evaluation.paper_claims import CLAIMS, OPEN_QUESTION
from blsp_core.report import bars, charts, method
from blsp_core.report import plots as pictures
from blsp_core.report import style as figures
from blsp_core.report.plots_ablations import forest

SYSTEMS = [*figures.NAMES, "my-own-system"]


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        figures.use_style()
        yield
    plt.close("all")


def waves():
    return {tone: np.sin(np.arange(16_000 + 800 * place)) for place, tone in enumerate(EMOTIONS)}


def log_mels():
    return {tone: np.random.default_rng(0).random((80, 110)) for tone in EMOTIONS}


def recognised(systems=SYSTEMS):
    rows = [
        {
            "system": system,
            "corpus": corpus,
            "value": 0.5,
            "low": 0.4,
            "high": 0.6,
            "published": published,
            "uncertain": corpus == "greek",
        }
        for system in systems
        for corpus, published in (("acted", 76.0), ("talk", None), ("greek", 1.0), ("french", 2.0), ("russian", 3.0))
    ]
    return pd.DataFrame(rows)


def replied():
    figure = dict(quality=0.9, quality_low=0.8, quality_high=1.0, empathy=0.5, empathy_low=0.4, empathy_high=0.6)
    return pd.DataFrame([{"system": system, **figure} for system in SYSTEMS])


def claimed():
    measured = {"measured": {"difference": 0.3}, "interval": [0.2, 0.4]}
    nothing = {"measured": None, "interval": None, "verdict": "not measured"}
    kinds, answers = cycle(("reproduced", "not reproduced", "inconclusive")), cycle(("yes", "no"))
    verdicts = (next(answers if claim.where == OPEN_QUESTION else kinds) for claim in CLAIMS)
    rows = [{"id": c.id, "where": c.where, "verdict": v, **measured} for c, v in zip(CLAIMS, verdicts, strict=True)]
    return [*rows[:-1], rows[-1] | nothing]


def compared():
    names = ("no-semantic-stage", "frozen-encoder", "other-writer")
    return pd.DataFrame(
        {"variant": name, "measure": measure, "seed": seed, "difference": 0.1, "low": -0.1, "high": 0.3, "p_holm": 0.2}
        for name in names
        for measure in ("acted", "statements", "requests, quality", "requests, empathy")
        for seed in ("all", "1", "2")
    )


def logs():
    log = pd.DataFrame({"step": range(40), "loss": np.linspace(3, 1, 40)})
    several = pd.concat([log.assign(seed=seed, loss=log["loss"] + seed, head=log["loss"]) for seed in (1, 2)])
    return {system: several if system == "blsp-emo" else log for system in SYSTEMS[-8:] + ["blsp-emo"]}


def curve():
    rows = [("wa", corpus) for corpus in "acted talk statements requests greek french russian".split()]
    rows += [("quality", "quality"), ("empathy", "empathy")]
    return pd.DataFrame(
        {"metric": metric, "measure": measure, "share": share, "value": 0.5, "low": 0.4, "high": 0.6}
        for metric, measure in rows
        for share in (0.25, 0.5, 1.0)
    )


def pictured(named):
    tones = pd.DataFrame([{"system": s, "tone": t, "empathy": 0.5} for s in SYSTEMS for t in EMOTIONS])
    confusion = score(named("blsp-emo", "acted", 0.8, 60))["confusion"]
    replies = {s: {t: "how nice that you are in such a good mood " + t for t in EMOTIONS} for s in SYSTEMS[7:11]}
    replies["text+llm"] = {tone: "of course. you could measure the door first." for tone in EMOTIONS}
    parts = pd.DataFrame({"system": SYSTEMS, "same": 0.25, "both": 0.25, "one": 0.25, "neither": 0.25})
    won = pd.DataFrame({"rival": SYSTEMS[:9], "win": 0.5, "tie": 0.3, "loss": 0.2})
    sound = [
        {"system": s, "measure": m, "fifth": f, "error": 0.3, "low": 0.2, "high": 0.4}
        for s in SYSTEMS[:4] for m in ("level, dB", "pitch, Hz", "pace, words/s") for f in range(1, 6)
    ]  # fmt: skip
    words = [{"run": r, "step": s, "emotion": e, "probability": 0.4} for r in ("blsp-emo", "multitask") for s in (1, 2)
             for e in EMOTIONS]  # fmt: skip
    points = {name: np.random.default_rng(0).random((50, 16)) for name in ("blsp", "blsp-emo")}
    return {
        "sounds": pictures.sounds(waves(), log_mels(), "a sentence"),
        "figure 1": charts.one_sentence(waves(), log_mels(), "a sentence", replies),
        "figure 2": method.method(method.Recipe()),
        "figure 2, frozen": method.method(method.Recipe(2, 0, 1.0, False, 0.5, True, False, "last+mix")),
        "figure 3": bars.preferences(won),
        "curves": pictures.training_curves(logs(), {"loss": "stage 2"}),
        "accuracy": charts.accuracy(recognised(), {"acted": 0.2}, {"acted": "acted\n(IEMOCAP)"}),
        "confusions": pictures.confusions(dict.fromkeys(SYSTEMS[:11], confusion)),
        "quality": charts.quality_against_empathy(replied()),
        "tones": pictures.empathy_by_tone(tones),
        "fixed words": bars.fixed_words(parts),
        "errors": charts.errors_by_sound(pd.DataFrame(sound)),
        "amounts": charts.amounts(curve()),
        "emotion words": charts.emotion_words(pd.DataFrame(words)),
        "embeddings": pictures.tone_map(points, [*EMOTIONS] * 10, {"blsp": "tone by a straight line: 20 %"}),
        "verdicts": charts.verdicts(claimed()),
        "forest": forest(compared()),
    }


def test_no_two_labels_of_a_picture_overlap(named):
    for name, fig in pictured(named).items():
        fig.canvas.draw()
        texts = [text for text in fig.findobj(plt.Text) if text.get_text().strip() and text.get_visible()]
        level = [text for text in texts if text.get_rotation() in (0, 90)]  # the box of a slanted text is not its shape
        boxes = [(text, text.get_window_extent().shrunk(0.9, 0.8)) for text in level if on_figure(fig, text)]
        for place, (text, box) in enumerate(boxes):
            for other, next_box in boxes[place + 1 :]:
                assert not box.overlaps(next_box), (name, text.get_text(), other.get_text())


def on_figure(fig, text):
    box, canvas = text.get_window_extent(), fig.bbox
    return box.width > 0 and canvas.x0 <= box.x0 and box.x1 <= canvas.x1 and canvas.y0 <= box.y0 and box.y1 <= canvas.y1


def test_nothing_of_a_saved_picture_is_cut_off(named, tmp_path):
    for name, fig in pictured(named).items():
        figures.save_figure(fig, tmp_path / "picture")
        wide, tall = fig.get_size_inches()
        drawn = fig.get_tightbbox()
        assert -0.02 < drawn.x0 and drawn.x1 < wide + 0.02 and -0.02 < drawn.y0 and drawn.y1 < tall + 0.02, name


def test_no_picture_is_wider_than_a_page_of_a_paper(named):
    for name, fig in pictured(named).items():
        assert fig.get_figwidth() <= figures.WIDTH + 0.01, name


@pytest.mark.parametrize("recipe", [method.Recipe(), method.Recipe(head_words=True)])
def test_words_in_the_boxes_of_figure_2_stay_inside_them(recipe):
    fig = method.method(recipe)
    fig.canvas.draw()
    for axis in fig.axes:
        boxes = [patch.get_window_extent() for patch in axis.patches if hasattr(patch, "get_boxstyle")]
        for text in axis.texts:
            words = text.get_window_extent()
            if text.get_style() != "italic":  # notes stand beside their arrows
                assert any(
                    box.x0 <= words.x0 and words.x1 <= box.x1 and box.y0 <= words.y0 and words.y1 <= box.y1
                    for box in boxes
                ), text.get_text()


def test_a_run_looks_the_same_in_every_panel_and_has_its_place_in_the_legend():
    runs = logs()
    fig = pictures.training_curves(runs, {"loss": "left", "head": "right"})
    drawn = [[line for line in axis.lines if line.get_label()[0] != "_"] for axis in fig.axes]
    left, right = ({line.get_label(): line.get_linestyle() for line in lines} for lines in drawn)
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [figures.name_of(run) for run in runs] == [*left]
    assert right == {"BLSP-Emo": left["BLSP-Emo"]} and len({*left.values()}) >= 4


def test_figure_2_says_what_was_trained():
    stage1 = {"adapter_kernel_sizes": [5, 5], "temperature": 3.0}
    stage2 = {"lora_rank": 7, "train_encoder": False, "emotion_weight": 0.5, "steps": 1}
    fig = method.method(method.Recipe.of(stage1, stage2))
    words = " ".join(text.get_text() for text in fig.findobj(plt.Text))
    assert "2 convolutions" in words and "rank 7" in words and "T = 3" in words and "0.5 × cross-entropy" in words
    assert "linear head" in words and "own words" not in words
    before = method.Recipe.of(stage1, stage2 | {"head_words": ["so"]})  # recorded when such a head never learnt
    assert before.head_words and not before.head_learns
    frozen = []
    for learns in (True, False):
        fig = method.method(method.Recipe(head_words=True, head_learns=learns))
        assert "own words" in " ".join(text.get_text() for text in fig.findobj(plt.Text))
        frozen.append(sum(patch.get_linestyle() == method.FROZEN["linestyle"] for patch in fig.axes[1].patches))
    assert frozen[1] == frozen[0] + 1
    without = method.method(method.Recipe(lora_rank=0, emotion_weight=0.0))
    words = " ".join(text.get_text() for text in without.findobj(plt.Text))
    assert "LoRA" not in words and "linear head" not in words


def test_a_reply_that_is_the_same_in_every_tone_stands_once():
    same = {tone: "of course." for tone in EMOTIONS}
    fig = charts.one_sentence(
        waves(), log_mels(), "a sentence", {"text+llm": same, "blsp-emo": same | {"sad": "oh no."}}
    )
    assert sum(text.get_text() == "of course." for text in fig.findobj(plt.Text)) == 1 + 4


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for run in ("one", "two"):
        figures.save_figure(charts.accuracy(recognised(SYSTEMS[:3])), tmp_path / run, "A caption.")
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_a_figure_lies_beside_its_caption(tmp_path):
    figures.save_figure(plt.figure(), tmp_path / "one", "What is seen.")
    assert (tmp_path / "one.md").read_text() == "![](one.png)\n\nWhat is seen.\n"


def test_every_system_differs_from_its_neighbours_without_colour_too():
    looks = figures.looks(figures.NAMES)
    assert len({look["marker"] for look in looks.values()}) == len(figures.NAMES)


def test_a_system_looks_the_same_in_every_figure():
    few, many = figures.looks(["blsp", "blsp-emo"]), figures.looks(SYSTEMS)
    assert few == {system: many[system] for system in few}


def test_a_system_that_nobody_foresaw_gets_its_place_and_its_own_name():
    assert figures.in_order(SYSTEMS)[-1] == "my-own-system"
    assert figures.name_of("my-own-system") == "my-own-system"


def test_a_table_is_written_as_csv_markdown_and_latex_with_empty_cells_empty(tmp_path):
    frame = pd.DataFrame({"system": ["A & B", "C"], "share, %": ["12.50", None]})
    markdown = figures.save_table(frame, tmp_path / "table", "Shares in %.")
    assert markdown == (tmp_path / "table.md").read_text()
    assert markdown.startswith("Shares in %.\n\n| system")
    assert "12.50" in markdown and "None" not in markdown
    assert pd.read_csv(tmp_path / "table.csv")["share, %"].isna().tolist() == [False, True]
    latex = (tmp_path / "table.tex").read_text()
    assert "A \\& B" in latex and "\\caption{Shares in \\%.}" in latex


def test_the_csv_of_a_table_may_hold_the_numbers_behind_its_cells(tmp_path):
    numbers = pd.DataFrame({"system": ["A"], "value": [0.125]})
    figures.save_table(pd.DataFrame({"system": ["A"], "share": ["12.5 %"]}), tmp_path / "table", "", numbers)
    assert pd.read_csv(tmp_path / "table.csv")["value"].tolist() == [0.125]
