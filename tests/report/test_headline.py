"""The first screen of the report."""

import pandas as pd

from blsp_core.report import headline


def test_the_numbers_of_blsp_emo_stand_above_those_of_the_cascade():
    cells = {"system": ["BLSP-Emo", "Whisper+LLM"], "acted": ["92.2 [87, 97]", "44.5 [40, 50]"]}
    html = headline.numbers(pd.DataFrame(cells | {"quality": ["96.8", ""], "WER": ["", "acted 0.6"]}))
    assert html.count("flex:1") == html.count("BLSP-Emo") == 2
    assert "92.2 %" in html and "Whisper+LLM 44.5 %" in html and "WER" not in html
    assert html.index("acted") < html.index("92.2 %") < html.index("quality") < html.index("96.8 %")
    assert headline.numbers(pd.DataFrame({"system": ["BLSP"], "acted": ["1.0"]})) == ""


def test_the_bar_counts_verdicts_and_leaves_open_questions_out():
    verdicts = ["reproduced", "not measured", "not reproduced", "reproduced"]
    where = ["Table 1", "open question", "Table 2", "Table 3"]
    html = headline.verdict_bar([{"verdict": one, "where": at} for one, at in zip(verdicts, where, strict=True)])
    assert "2 reproduced" in html and "1 not reproduced" in html
    assert "inconclusive" not in html and "measured" not in html
