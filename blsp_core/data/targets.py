"""What stage 2 teaches: the LLM's continuations, and the tasks of the variants, as rows to train on.

A row is a line of the manifest with what the model is asked when it hears the clip (`system`, `instruction`), what it
should say (`output`), and whether that goes on beyond what is there (`early_stop`).

| kind         | asked                                      | says                                              |
|--------------|--------------------------------------------|---------------------------------------------------|
| continuation | to go on in the tone that it hears         | what the LLM wrote, told the label                |
| other        | the same                                   | what the other writer wrote, told the label       |
| label        | to name the tone                           | the label, in a sentence                          |
| repeat       | to say the sentence again                  | the transcript                                    |

Sentences that the LLM was made to say again (`repeat_emotional`) lie among its continuations; they go with the first
two kinds, unless `repeat` asks for all of them anyhow.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace

from blsp_core.errors import StudyError
from blsp_core.data.manifest import Utterance, as_row, of_row
from blsp_core.data import prompts

KINDS = ("continuation", "other", "label", "repeat")


def make_targets(
    kinds: Iterable[str],
    written: list[dict],
    *,
    other: list[dict] = (),
    plain: list[dict] = (),
    mixed_prompts: bool = False,
) -> list[dict]:
    """Rows of `KINDS` out of the clips with a label.

    written: rows of continuations/emotion.jsonl, which say what clips there are; other: of other.jsonl.
    plain: rows of neutral.jsonl: their clips are plainly continued, or repeated, besides; no label of theirs counts.
    mixed_prompts: instructions to continue take turns in several wordings under both system prompts.
    Raises StudyError for a kind that is unknown, and for targets of another writer where there are none.
    """
    kinds = list(kinds)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise StudyError(f"targets: {unknown[0] if unknown else 'none'} is not known; wanted are {', '.join(KINDS)}")
    if "other" in kinds and not other:
        raise StudyError(
            "targets: other.jsonl has no continuations; name another writer as `other_writer`, run it anew"
        )
    clips, plain = _clips(written), [{**row, "emotion": ""} for row in plain]
    conveyed = prompts.manners(prompts.SYSTEM_EMPATHY, prompts.CONTINUE_CONVEYED_WORDINGS, mixed_prompts)
    coherent = prompts.manners(prompts.SYSTEM, prompts.CONTINUE_WORDINGS, mixed_prompts)
    again, continued = _repeats_apart(written)
    known, continues = {clip.id for clip in clips}, {"continuation", "other"} & set(kinds)
    rows = []
    if "continuation" in kinds:
        rows += _asked(continued, conveyed)
    if "other" in kinds:
        rows += _asked([row for row in other if row["id"] in known], conveyed)
    if "label" in kinds:
        rows += [name_emotion(clip, clip.emotion) for clip in clips]
    if "repeat" in kinds:
        rows += [_repeated(clip) for clip in [*clips, *_clips(plain)]]
    elif continues:
        rows += [{**row, "instruction": prompts.REPEAT} for row in _asked(again, conveyed)]
    if continues:
        rows += _asked(_repeats_apart(plain)[1], coherent)
    return rows


def share_of(rows: list[dict], share: float, seed: int) -> list[dict]:
    """The rows of a share of the clips. With one seed, the clips of a smaller share are among those of a larger."""
    if not 0 < share <= 1:
        raise StudyError(f"data_share: {share} is no share; wanted is more than 0 and at most 1")
    names = [clip.id for clip in _clips(rows)]
    random.Random(f"share {seed}").shuffle(names)
    kept = set(names[: max(1, round(share * len(names)))])
    return [row for row in rows if row["id"] in kept]


def shuffle_labels(
    rows: list[dict], seed: int, write: Callable[[list[Utterance]], list[dict]]
) -> tuple[list[dict], float]:
    """The control: the labels change places among the clips, and the LLM writes its continuations for the wrong ones.

    rows: of continuations/emotion.jsonl; write: utterances -> rows with continuations. Sentences to be said again stay.
    Also the share of clips that got their own label back, by chance.
    """
    clips = _clips(rows)
    labels = [clip.emotion for clip in clips]
    random.Random(f"labels {seed}").shuffle(labels)
    wrong = {clip.id: replace(clip, emotion=label) for clip, label in zip(clips, labels, strict=True)}
    again, continued = _repeats_apart(rows)
    written = write([wrong[row["id"]] for row in continued])
    again = [{**row, "emotion": wrong[row["id"]].emotion} for row in again]
    same = sum(clip.emotion == wrong[clip.id].emotion for clip in clips) / len(clips) if clips else 0.0
    return written + again, same


def _repeats_apart(rows: Iterable[dict]) -> tuple[list[dict], list[dict]]:
    """The rows that say their sentence again, and the others."""
    found = [], []
    for row in rows:
        found[row["instruction"] != prompts.REPEAT].append(row)
    return found


def _clips(rows: Iterable[dict]) -> list[Utterance]:
    """The utterances of the rows, each once."""
    return list({row["id"]: of_row(row) for row in rows}.values())


def _asked(rows: list[dict], manners: list[tuple[str, str]]) -> list[dict]:
    """The rows, by turns asked in each of the manners."""
    turns = [manners[number % len(manners)] for number in range(len(rows))]
    return [{**row, "system": s, "instruction": i} for row, (s, i) in zip(rows, turns, strict=True)]


def name_emotion(clip: Utterance, emotion: str) -> dict:
    """The clip with the question for its tone, and the sentence that names `emotion` in answer."""
    if not emotion:
        raise StudyError(f"{clip.id}: has no emotion label to be named; drop the row or label it")
    asked = {"system": prompts.SYSTEM, "instruction": prompts.IDENTIFY}
    return {**as_row(clip), **asked, "output": prompts.NAMED.format(emotion=emotion), "early_stop": False}


def _repeated(clip: Utterance) -> dict:
    asked = {"system": prompts.SYSTEM, "instruction": prompts.REPEAT}
    return {**as_row(clip), **asked, "output": clip.text, "early_stop": False}
