"""What stage 2 trains on: the LLM's continuations, and the tasks of the variants, as rows.

A row is a line of the manifest with the prompt that stands before the speech (`system`, `instruction`), the response
(`output`), and whether the token limit cut it (`early_stop`).

| kind         | instruction                          | response                                          |
|--------------|--------------------------------------|---------------------------------------------------|
| continuation | continue in the conveyed emotion     | the LLM's, written with the label in its prompt   |
| other        | the same                             | the second LLM's, written with the label          |
| label        | name the emotion                     | the label, in a sentence                          |
| repeat       | repeat the sentence                  | the transcript                                    |

The LLM's own repetitions (`continuations.repeat_share`, not the paper's) are among its continuations; they go with the
first two kinds, unless `repeat` asks for all transcripts.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from blsp_core.data import prompts
from blsp_core.data.manifest import Utterance, as_row, of_row
from blsp_core.errors import StudyError

KINDS = ("continuation", "other", "label", "repeat")


def make_targets(
    kinds: Sequence[str], written: list[dict], *, other: list[dict] = (), plain: list[dict] = ()
) -> list[dict]:
    """Rows of `KINDS` for the labelled clips.

    written: rows of continuations/emotion.jsonl, which define the clips; other: of other.jsonl.
    plain: rows of neutral.jsonl: their clips are continued plainly, or repeated, without a label.
    Raises StudyError for a kind that is unknown, and for targets of a second LLM where there are none.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise StudyError(f"targets: {unknown[0] if unknown else 'none'} is not known; wanted are {', '.join(KINDS)}")
    if "other" in kinds and not other:
        raise StudyError("targets: other.jsonl has no rows; name a second LLM as continuations.other_writer")
    clips, plain = _clips(written), [{**row, "emotion": ""} for row in plain]
    repeated, continued = _split_repeats(written)
    known = {clip.id for clip in clips}
    conveyed = {"system": prompts.SYSTEM_EMPATHY, "instruction": prompts.CONTINUE_CONVEYED}
    rows = []
    if "continuation" in kinds:
        rows += [row | conveyed for row in continued]
    if "other" in kinds:
        rows += [row | conveyed for row in other if row["id"] in known]
    if "label" in kinds:
        rows += [name_emotion(clip, clip.emotion) for clip in clips]
    continues = {"continuation", "other"} & set(kinds)
    if "repeat" in kinds:
        rows += [_row(clip, prompts.REPEAT, clip.text) for clip in [*clips, *_clips(plain)]]
    elif continues:
        rows += [row | {"system": prompts.SYSTEM_EMPATHY} for row in repeated]
    if continues:
        coherent = {"system": prompts.SYSTEM, "instruction": prompts.CONTINUE}
        rows += [row | coherent for row in _split_repeats(plain)[1]]
    return rows


def share_of(rows: list[dict], share: float, seed: int) -> list[dict]:
    """The rows of a share of the clips. With one seed, a larger share contains the clips of a smaller one."""
    if not 0 < share <= 1:
        raise StudyError(f"data_share: {share} is no share; wanted is more than 0 and at most 1")
    names = [clip.id for clip in _clips(rows)]
    random.Random(f"share {seed}").shuffle(names)
    kept = set(names[: max(1, round(share * len(names)))])
    return [row for row in rows if row["id"] in kept]


def shuffle_labels(
    rows: list[dict], seed: int, write: Callable[[list[Utterance]], list[dict]]
) -> tuple[list[dict], float]:
    """The control: labels are permuted over the clips, and the LLM writes continuations for the wrong ones.

    rows: of continuations/emotion.jsonl; write: utterances -> rows with continuations. Repetitions stay as they are.
    Also the share of clips that keep their own label by chance.
    """
    clips = _clips(rows)
    labels = [clip.emotion for clip in clips]
    random.Random(f"labels {seed}").shuffle(labels)
    wrong = {clip.id: replace(clip, emotion=label) for clip, label in zip(clips, labels, strict=True)}
    repeated, continued = _split_repeats(rows)
    written = write([wrong[row["id"]] for row in continued])
    repeated = [{**row, "emotion": wrong[row["id"]].emotion} for row in repeated]
    same = sum(clip.emotion == wrong[clip.id].emotion for clip in clips) / len(clips) if clips else 0.0
    return written + repeated, same


def _split_repeats(rows: list[dict]) -> tuple[list[dict], list[dict]]:
    """The rows that repeat their sentence, and the others."""
    return tuple([row for row in rows if (row["instruction"] == prompts.REPEAT) is wanted] for wanted in (True, False))


def _clips(rows: Iterable[dict]) -> list[Utterance]:
    """The utterances of the rows, each once."""
    return list({row["id"]: of_row(row) for row in rows}.values())


def name_emotion(clip: Utterance, emotion: str) -> dict:
    """The clip with the question for its emotion, and the sentence that names `emotion` in answer."""
    if not emotion:
        raise StudyError(f"{clip.id}: has no emotion label to be named; drop the row or label it")
    return _row(clip, prompts.IDENTIFY, prompts.NAMED.format(emotion=emotion))


def _row(clip: Utterance, instruction: str, output: str) -> dict:
    fields = {"system": prompts.SYSTEM, "instruction": instruction}
    return {**as_row(clip), **fields, "output": output, "early_stop": False}
