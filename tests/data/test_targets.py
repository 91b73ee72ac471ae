"""Rows of continuations become rows to train on."""

from collections import Counter
from dataclasses import replace

import pytest

from blsp_core.data import prompts
from blsp_core.data.emotions import EMOTIONS, parse_emotion
from blsp_core.data.manifest import Utterance, as_row
from blsp_core.data.targets import make_targets, share_of, shuffle_labels
from blsp_core.errors import StudyError

CLIPS = [
    Utterance(f"{n}.flac", f"sentence {n}", EMOTIONS[n % 5], f"clip-{n}", "m1", "en", 2.0, "acted", "train")
    for n in range(40)
]


def written(clips, writer="llm", early_stop=False):
    rows = [as_row(clip) | {"writer": writer, "early_stop": early_stop} for clip in clips]
    for row in rows:
        row["instruction"] = prompts.CONTINUE_EMOTION.format(emotion=row["emotion"])
        row["output"] = f"{writer} on {row['id']}, {row['emotion']}"
    return rows


REPEATED = [row | {"instruction": prompts.REPEAT, "output": row["text"]} for row in written(CLIPS[:10])]
EMOTION = written(CLIPS) + REPEATED
PLAIN = [row | {"id": "plain-" + row["id"], "instruction": prompts.CONTINUE} for row in written(CLIPS[:4], "plain")]


def kinds_of(rows):
    return Counter((row["system"], row["instruction"]) for row in rows)


def test_the_label_in_the_llm_s_prompt_is_not_in_the_model_s():
    rows = make_targets(["continuation"], EMOTION)
    empathy = prompts.SYSTEM_EMPATHY
    assert kinds_of(rows) == {(empathy, prompts.CONTINUE_CONVEYED): 40, (empathy, prompts.REPEAT): 10}
    assert [row["output"] for row in rows[:40]] == [row["output"] for row in EMOTION[:40]]
    assert all(row["output"] == row["text"] for row in rows[40:])


@pytest.mark.parametrize("labels", [EMOTION, shuffle_labels(EMOTION, 1, written)[0]], ids=["own", "shuffled"])
def test_labels_alone_name_the_emotion_of_every_clip_once(labels):
    rows = make_targets(["label"], labels)
    assert kinds_of(rows) == {(prompts.SYSTEM, prompts.IDENTIFY): 40}
    assert [parse_emotion(row["output"]) for row in rows] == [row["emotion"] for row in labels[:40]]


def test_tasks_are_rows_of_every_clip_and_clips_of_stage_1_are_continued_plainly_without_their_labels():
    rows = make_targets(["repeat", "label", "continuation"], EMOTION, plain=PLAIN)
    plain, own = ([row for row in rows if row["id"].startswith("plain") is wanted] for wanted in (True, False))
    again = [(row["id"], row["output"]) for row in own if row["instruction"] == prompts.REPEAT]
    assert len(own) == 120 and again == [(clip.id, clip.text) for clip in CLIPS]
    assert kinds_of(plain) == {(prompts.SYSTEM, prompts.CONTINUE): 4, (prompts.SYSTEM, prompts.REPEAT): 4}
    assert {row["emotion"] for row in plain} == {""}


def test_targets_of_the_second_llm_replace_the_llm_s_but_not_its_repetitions():
    other = written(CLIPS[:30] + [replace(CLIPS[0], id="unknown")], "other", early_stop=True)
    rows = make_targets(["other"], EMOTION, other=other)
    assert Counter((row["instruction"], row.get("writer"), row["early_stop"]) for row in rows) == {
        (prompts.CONTINUE_CONVEYED, "other", True): 30,
        (prompts.REPEAT, "llm", False): 10,
    }


def test_unknown_or_impossible_targets_are_refused():
    known = "wanted are continuation, other, label, repeat"
    unlabelled = [EMOTION[0] | {"emotion": ""}]
    for kinds, rows, words in (
        (["continue"], EMOTION, known),
        ([], EMOTION, known),
        (["label"], unlabelled, "clip-0: has no emotion label to be named"),
        (["other"], EMOTION, "other.jsonl has no rows"),
    ):
        with pytest.raises(StudyError, match=words):
            make_targets(kinds, rows)


def test_a_smaller_share_is_part_of_a_larger_and_keeps_all_rows_of_a_clip():
    shares = {share: share_of(EMOTION, share, seed=3) for share in (0.25, 0.5, 1.0)}
    ids = {share: {row["id"] for row in rows} for share, rows in shares.items()}
    assert [len(found) for found in ids.values()] == [10, 20, 40] and shares[1.0] == EMOTION
    assert ids[0.25] < ids[0.5] and ids[0.25] != {row["id"] for row in share_of(EMOTION, 0.25, seed=4)}
    assert all(row in shares[0.25] for row in EMOTION if row["id"] in ids[0.25])
    with pytest.raises(StudyError, match="data_share: 0 is no share"):
        share_of(EMOTION, 0, seed=1)


def test_shuffled_labels_are_the_same_labels_and_the_llm_writes_for_the_wrong_ones():
    rows, same = shuffle_labels(EMOTION, 1, written)
    wrong = {row["id"]: row["emotion"] for row in rows}
    assert Counter(wrong.values()) == Counter(clip.emotion for clip in CLIPS)
    moved = [clip for clip in CLIPS if wrong[clip.id] != clip.emotion]
    assert 0.5 < 1 - same == len(moved) / len(CLIPS)
    again = [row for row in rows if row["instruction"] == prompts.REPEAT]
    for row in (row for row in rows if row not in again):
        assert row["instruction"] == prompts.CONTINUE_EMOTION.format(emotion=row["emotion"])
        assert row["output"].endswith(row["emotion"])
    assert len(again) == 10 and len(rows) == 50 and all(row["emotion"] == wrong[row["id"]] for row in rows)
    assert shuffle_labels(EMOTION, 1, written)[0] == rows != shuffle_labels(EMOTION, 2, written)[0]
