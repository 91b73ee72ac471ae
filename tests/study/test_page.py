import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from blsp_core.report import captions, page

REPLIES = {
    "text+llm": {"happy": "of course.", "sad": "of course."},
    "whisper+llm": {"happy": "of course.", "sad": "of course."},
    "blsp-emo": {"happy": "how nice!", "sad": "i am sorry."},
}
CLAIMS = pd.DataFrame(
    {
        "claim": ["It <hears>.", "It helps."],
        "where": ["Table 1", "Table 2"],
        "difference": ["+3.0 [1.0, 5.0]", ""],
        "verdict": ["reproduced", "not measured"],
    }
)
CONTROLS = pd.DataFrame({"control": ["Shuffled labels fail."], "verdict": ["passed"]})


def drawn(values):
    fig, axis = plt.subplots(figsize=(3.15, 2))
    axis.plot(values)
    return fig


@pytest.fixture
def written(tmp_path):
    """A page with a figure, a table and something absent, and the folder it lies in."""
    paper = page.Paper(lambda name: tmp_path / name)
    paper.section("Tables")
    paper.table("balanced", pd.DataFrame({"system": ["A & B"], "acted": ["80.0 [76.4, 83.6] ±1.3"]}))
    paper.section("Figures")
    paper.figure("confusions_acted", drawn, [1, 2, 3], kind="confusions", words={"corpus": "acted"})
    paper.figure("learning_curves", drawn, [])
    clips = page.listen({"happy": np.zeros(800), "sad": np.zeros(800)}, "hello", REPLIES)
    facts, details = {"Scale": "mini"}, {"Settings": "{}"}
    place = paper.write(
        tmp_path / "report.html", title="T", facts=facts, claims=CLAIMS, controls=CONTROLS, clips=clips, details=details
    )
    plt.close("all")
    return place.read_text(), tmp_path, paper


def test_the_page_asks_nothing_of_the_network(written):
    text, *_ = written
    addresses = re.findall(r'(?:src|href|url|action)\s*[=(]\s*["\']?([^"\' )>]+)', text)
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert "<script" not in text and "@import" not in text


def test_a_notebook_shows_the_figure_once_or_the_sentence_on_why_there_is_none(tmp_path):
    paper = page.Paper(lambda name: tmp_path / name)
    shown = paper.figure("confusions_acted", drawn, [1, 2, 3], kind="confusions", words={"corpus": "acted"})
    absent = paper.figure("learning_curves", drawn, [])
    assert plt.get_fignums() == []
    png, looks = shown._repr_png_()
    assert png.startswith(b"\x89PNG") and looks["width"] == 345 and shown._repr_markdown_() is None
    assert absent._repr_png_() is None and absent._repr_markdown_() in paper.absences()


def test_claims_come_first_then_controls_then_everything_else(written):
    text, *_ = written
    heads = re.findall(r"<h2[^>]*>([^<]+)", text)
    assert heads == [page.CLAIMS, "Controls", "Tables", "Figures", "Listen: the same words in every tone", page.COST]


def test_the_page_is_well_formed_and_its_links_lead_somewhere(written):
    text, *_ = written
    open_tags, ids, links = [], set(), set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found = dict(attributes)
            ids.add(found.get("id"))
            links.add(found.get("href", "")[1:])
            if tag not in ("meta", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Reader().feed(text)
    assert not open_tags and links - {""} <= ids


def test_words_are_shown_as_they_are_and_never_as_markup(written):
    text, *_ = written
    assert "It &lt;hears&gt;." in text and "A &amp; B" in text


def test_verdicts_are_counted_and_said_in_words(written):
    text, *_ = written
    assert re.search(r'reproduced">reproduced</span> 1', text) and "not reproduced" not in text
    assert text.index("reproduced</span>") < text.index("It &lt;hears&gt;.")


def test_a_number_and_its_interval_are_not_parted(written):
    assert "80.0\u00a0[76.4,\u00a083.6] ±1.3" in written[0]


def test_what_was_not_run_is_one_sentence_and_no_file(written):
    text, folder, paper = written
    assert paper.absences() == [captions.of("learning_curves")[1]]
    assert captions.of("learning_curves")[1] in text
    assert not list(folder.glob("learning_curves*"))


def test_a_figure_is_saved_with_a_caption_that_is_filled_in(written):
    text, folder, _ = written
    assert "on the corpus acted" in (folder / "confusions_acted.md").read_text()
    assert "on the corpus acted" in text
    assert 'style="width: 26.0rem"' in text  # half a line of text


def test_systems_that_reply_alike_stand_together():
    (happy, _) = page.listen({"happy": np.zeros(8), "sad": np.zeros(8)}, "hello", REPLIES)
    assert happy["replies"] == [
        {"systems": "Text + LLM, Whisper + LLM", "reply": "of course."},
        {"systems": "BLSP-Emo", "reply": "how nice!"},
    ]
    assert happy["sound"].startswith("data:audio/flac;base64,")


def test_sound_beyond_the_limit_is_left_out_and_its_replies_stay(monkeypatch):
    monkeypatch.setattr(page, "MOST_SOUND", 100)
    clips = page.listen({"happy": np.zeros(800)}, "hello", REPLIES)
    assert clips[0]["sound"] == "" and clips[0]["replies"]


def test_every_caption_says_something_whatever_is_missing():
    for name in captions.CAPTIONS:
        caption, absent = captions.of(name, sentence="hello", corpus="acted", beside="", runs="")
        assert caption.endswith(".") and "{" not in caption + absent
