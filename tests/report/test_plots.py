import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from blsp_core import pipeline
from blsp_core.data.emotions import EMOTIONS
from blsp_core.evaluation.results import measure_all
from blsp_core.report import plots, style, tables

SYSTEMS = [*style.NAMES, "no-lora"]
WAVES = {e: np.sin(np.arange(16_000 + 800 * place)) for place, e in enumerate(EMOTIONS)}
LOG_MELS = dict.fromkeys(EMOTIONS, np.random.default_rng(0).random((80, 110)))


def shares(**columns) -> pd.DataFrame:
    """Every combination of the columns' values, with a value and its interval."""
    frame = pd.MultiIndex.from_product(columns.values(), names=columns).to_frame(index=False)
    return frame.assign(value=0.5, low=0.4, high=0.6)


def settings(**changes) -> list[dict]:
    params = pipeline.read_params(pipeline.find_root())
    return [pipeline.resolve(params, "stage1"), pipeline.resolve(params, "stage2") | changes]


@pytest.fixture(scope="module")
def drawn(predictions):
    """Functions that draw each figure from made-up numbers."""
    metrics = measure_all(predictions)
    log = pd.DataFrame({"step": range(40), "loss": np.linspace(3, 1, 40)})
    several = pd.concat([log.assign(seed=seed, loss=log["loss"] + seed, head=log["loss"]) for seed in (1, 2)])
    measures = ["level, dB", "pitch, Hz", "rate, words/s"]
    differences = shares(variant=SYSTEMS[-4:], measure=["acted", "talk", "quality"], seed=["all", "1"])
    differences = differences.assign(difference=0.1, p_holm=[0.01, 0.2] * 12)
    claims = [{"id": f"a-claim-{v}", "where": "Tables 4 and 5", "verdict": v, "measured": {"difference": 0.1},
               "interval": None if v == "not measured" else [0, 0.2]} for v in plots.VERDICTS]  # fmt: skip
    replies = {"text+llm": dict.fromkeys(EMOTIONS, "of course."), "blsp-emo": {e: f"how {e} " * 9 for e in EMOTIONS}}
    points = dict.fromkeys(("blsp", "blsp-emo"), np.random.default_rng(0).random((50, 16)))
    pairs = {f"blsp-emo.vs.{system}": {"win": 0.5, "tie": 0.47, "loss": 0.03} for system in SYSTEMS[:9]}
    recognised = shares(system=SYSTEMS[5:], corpus=["acted", "talk", "requests", "greek", "french"])
    recognised = recognised.assign(published=[76.0, None, 1, 2, 3] * len(SYSTEMS[5:]), uncertain=False)
    measured = shares(measure=["acted", "quality"], share=[0.25, 1.0]).assign(metric=["wa", "wa", "quality", "quality"])
    frame = pd.DataFrame({"emotion": EMOTIONS * 6} | {m: np.random.default_rng(1).random(30) for m in measures})
    likely = shares(run=["blsp-emo", "no-lora"], step=[1, 2], emotion=EMOTIONS, seed=[1, 2])
    by_layer = shares(corpus=["acted", "talk"], layer=range(5)).rename(columns={"value": "accuracy"})
    confusion = tables.confusions(metrics)["acted"]["probe"]
    return {
        "sounds": lambda: plots.sounds(WAVES, LOG_MELS, "a sentence"),
        "prosody": lambda: plots.prosody(frame),
        "likeness": lambda: plots.likeness(np.eye(5), list("abcde"), "cosine"),
        "figure 1": lambda: plots.one_sentence(WAVES, LOG_MELS, "a sentence", replies),
        "method": lambda: plots.method(*settings()),
        "curves": lambda: plots.training_curves({"blsp-emo": several, "no-lora": log}, {"loss": "a", "head": "b"}),
        "log curve": lambda: plots.training_curves({"stage 1": log}, {"loss": "KL"}, log=True),
        "emotion words": lambda: plots.emotion_words(likely.rename(columns={"value": "probability"})),
        "layers": lambda: plots.layers(by_layer, {"acted": 0.9}),
        "embeddings": lambda: plots.embedding_map(points, [*EMOTIONS] * 10, {"blsp": "linear probe: 20 %"}),
        "accuracy": lambda: plots.accuracy(recognised, {"acted": 0.2}, tables.TITLES),
        "confusions": lambda: plots.confusions(dict.fromkeys(SYSTEMS[5:9], confusion)),
        "quality": lambda: plots.quality_and_empathy(tables.requests(metrics)),
        "empathy": lambda: plots.empathy_by_emotion(metrics),
        "dialogues": lambda: plots.preferences(pairs),
        "errors": lambda: plots.errors_by_sound(shares(system=SYSTEMS[:4], measure=measures, fifth=range(1, 6))),
        "amounts": lambda: plots.amounts(measured),
        "verdicts": lambda: plots.verdicts(claims),
        "forest": lambda: plots.forest(differences),
    }


def test_every_figure_fits_its_page_and_no_labels_overlap(drawn):
    for name, draw in drawn.items():
        fig = draw()
        style._settle(fig)
        fig.dpi = style.DPI  # letters are relatively wider on the screen
        (wide, tall), box = fig.get_size_inches(), fig.get_tightbbox()
        assert wide <= style.WIDTH + 0.01, name
        assert -0.04 < box.x0 and box.x1 < wide + 0.04 and -0.04 < box.y0 and box.y1 < tall + 0.04, (name, box)
        texts = [text for text in fig.findobj(plt.Text) if text.get_text().strip() and text.get_visible()]
        level = [text for text in texts if text.get_rotation() in (0, 90)]  # the box of slanted text is not its shape
        boxes = [(text.get_text(), text.get_window_extent().shrunk(0.9, 0.8)) for text in level]
        boxes = [(text, box) for text, box in boxes if box.width > 0 and fig.bbox.fully_contains(*box.min)]
        for place, (text, box) in enumerate(boxes):
            for other, next_box in boxes[place + 1 :]:
                numbers = not any(letter.isalpha() for letter in text + other)  # ticks outside the axis are not drawn
                assert numbers or not box.overlaps(next_box), (name, text, other)


def test_the_same_numbers_give_the_same_bytes(drawn, tmp_path):
    for run in ("one", "two"):
        fig = drawn["dialogues"]()
        assert style.save_figure(fig, tmp_path / run) is fig
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_without_data_there_is_no_figure():
    of_frames = plots.emotion_words, plots.layers, plots.quality_and_empathy, plots.forest
    of_frames += plots.errors_by_sound, plots.amounts
    assert not any(draw(pd.DataFrame()) for draw in of_frames)
    assert not plots.accuracy(pd.DataFrame(), {}, {}) and not plots.embedding_map({}, [])
    assert not plots.confusions({}) and not plots.preferences({})
    assert not plots.training_curves({}, {"loss": "a"}) and not plots.one_sentence({}, {}, "", {})


def words(fig):
    return "; ".join(text.get_text() for text in fig.findobj(plt.Text))


def test_a_reply_that_is_the_same_in_all_emotions_is_written_once():
    same = dict.fromkeys(EMOTIONS, "of course.")
    fig = plots.one_sentence(WAVES, LOG_MELS, "a sentence", {"text+llm": same, "blsp-emo": same | {"sad": "oh no."}})
    assert words(fig).count("of course.") == 1 + 4


def test_the_method_says_what_the_settings_train():
    stage1, stage2 = settings()
    found, other = words(plots.method(stage1, stage2)), words(plots.method(*settings(lora_rank=0, emotion_weight=0)))
    assert "2 convolutions" in found and "linear emotion head" in found
    assert "LoRA" not in other and "emotion head" not in other
    assert "window Q-Former" in words(plots.method({**stage1, "adapter": {"type": "qformer"}}, stage2))


def test_corpora_with_other_emotions_share_the_rows_of_a_figure():
    row = dict.fromkeys([*EMOTIONS, "unparsed"], 0)
    found = {"greek": {"sad": row | {"sad": 4}}, "acted": {e: row | {e: 1, "sad": 1} for e in EMOTIONS}}
    acted, greek = plots.confusions(found).axes
    assert [label.get_text() for label in acted.get_yticklabels()] == [*EMOTIONS]
    assert [text.get_text() for text in greek.texts if text.get_text()] == ["100"]
