import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from blsp_core.speech.manifest import EMOTIONS
from blsp_core.study import figures, pictures
from blsp_core.study.judging import score

SYSTEMS = ["text+llm", "blsp", "blsp-emo", "gold+llm", "my-own-system"]


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        figures.use_style()
        yield
    plt.close("all")


def waves():
    return {tone: np.sin(np.arange(16_000 + 800 * place)) for place, tone in enumerate(EMOTIONS)}


def recognised():
    rows = [
        {"system": system, "corpus": corpus, "value": 0.5, "low": 0.4, "high": 0.6, "published": published}
        for system in SYSTEMS
        for corpus, published in (("acted", 76.0), ("talk", None))
    ]
    return pd.DataFrame(rows)


def replied():
    figure = dict(quality=0.9, quality_low=0.8, quality_high=1.0, empathy=0.5, empathy_low=0.4, empathy_high=0.6)
    return pd.DataFrame([{"system": system, **figure} for system in SYSTEMS])


def claimed():
    measured = {"measured": {"difference": 0.3}, "interval": [0.2, 0.4]}
    nothing = {"measured": None, "interval": None, "verdict": "not measured"}
    kinds = ("reproduced", "not reproduced", "inconclusive")
    rows = [{"id": f"claim-{kind}", "where": "Table 1", "verdict": kind, **measured} for kind in kinds]
    return [*rows, {"id": "claim-open", "where": "Figure 3", **nothing}]


def pictured(named):
    log = pd.DataFrame({"step": range(40), "loss": np.linspace(3, 1, 40)})
    tones = pd.DataFrame([{"system": s, "tone": t, "empathy": 0.5} for s in SYSTEMS for t in EMOTIONS[:4]])
    confusion = score(named("blsp-emo", "acted", 0.8, 60))["confusion"]
    return {
        "sounds": pictures.sounds(waves(), {tone: np.random.rand(80, 110) for tone in EMOTIONS}, "a sentence"),
        "curves": pictures.training_curves({"blsp": log, "blsp-emo": log}, {"loss": "stage 1"}),
        "accuracy": pictures.accuracy(recognised(), {"acted": 0.2}),
        "confusions": pictures.confusions({"blsp-emo": confusion, "blsp": confusion}),
        "quality": pictures.quality_against_empathy(replied()),
        "tones": pictures.empathy_by_tone(tones),
        "verdicts": pictures.verdicts(claimed()),
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


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for run in ("one", "two"):
        figures.save_figure(pictures.accuracy(recognised()), tmp_path / run)
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_every_system_differs_from_its_neighbours_without_colour_too():
    looks = figures.looks(figures.SYSTEMS)
    assert len({(look["marker"]) for look in looks.values()}) >= 14
    assert looks["blsp-emo"]["color"] == figures.BOLD


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
