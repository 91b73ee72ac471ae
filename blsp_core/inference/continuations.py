"""The LLM writes the targets: continuations of transcripts, plain for stage 1, with the emotion label for stage 2."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from blsp_core.data import prompts
from blsp_core.data.emotions import parse_emotion
from blsp_core.data.manifest import Utterance, as_row, of_row
from blsp_core.errors import StudyError
from blsp_core.inference.batches import ready
from blsp_core.inference.llm import answer, load, log_probabilities, pinned

MIN_SECONDS, MAX_SECONDS = 1.0, 30.0
FITTED = 16  # targets read at a time: of a large vocabulary, their logits need 400 MB
MIN_NEW = 8  # letters and digits that must follow a sentence which the LLM restates
TASK = re.compile(r"\b(emotion tone|coherent style)\b", re.I)  # words of the prompt: the label, told to the student
RETRIED = ("repeats the sentence", "refusal", "empty", "talks about the task")  # for which the LLM is asked again
# The LLM declines or talks about itself: the idea of the released noise filter, whose list is not ours.
REFUSAL = re.compile(
    r"\b(as an ai|language model|i'm sorry, but|i am sorry, but|i can't assist"
    r"|i cannot(?! (wait|believe|help but|imagine|stand|stop|thank)\b))\b",  # which emotional targets say
    re.I,
)


def write_continuations(
    llm, tokenizer, utterances: list[Utterance], prompt: str, *, writer: str, **settings
) -> list[dict]:
    """Rows of the manifest with `instruction`, `output`, `early_stop` (the token limit cut it), `writer`.

    prompt: what stands before the transcript: `prompts.CONTINUE` of stage 1; `CONTINUE_EMOTION` with the utterance's
    label (paper §3.2); or `REPEAT`, which is ours: with one task only, the adapter encodes the task itself, and the
    model continues whatever the prompt asks.
    settings: of `llm.answer`. Raises StudyError when an utterance has no label that the prompt needs.
    """
    instructions = [_instruction(utterance, prompt) for utterance in utterances]
    return _rows(utterances, instructions, partial(answer, ready(llm), tokenizer, **settings), writer)


def write_elsewhere(
    other: Mapping[str, str], utterances: list[Utterance], *, root: Path, cache: Path, max_new_tokens: int, **settings
) -> list[dict]:
    """Emotional rows as of `write_continuations` by another LLM: `model`, a folder below `root` or anywhere, or a hub
    name, with @revision or not; or its name at `base_url`, an OpenAI-compatible address, whose replies are kept in
    `cache`. `refused`: it declined. Raises StudyError when the folder is empty."""
    if other.get("base_url"):
        from blsp_core.inference.endpoint import Endpoint  # slow to import

        instructions = [_instruction(utterance, prompts.CONTINUE_EMOTION) for utterance in utterances]
        endpoint = Endpoint(other["base_url"], other["model"], cache, max_tokens=max_new_tokens)
        return _rows(utterances, instructions, endpoint.replies, endpoint.model, ("refused",))
    folder = Path(root) / other["model"]
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise StudyError(
            f"continuations.other_writer: {folder} holds no LLM; set llm.second in params.yaml, or other_writer to null"
        )
    source = str(folder) if folder.is_dir() else pinned(other["model"])
    writer = "other" if Path(source).is_dir() else source
    settings |= {"max_new_tokens": max_new_tokens, "writer": writer}
    return write_continuations(*load(source), utterances, prompts.CONTINUE_EMOTION, **settings)


def _instruction(utterance: Utterance, prompt: str) -> str:
    if "{emotion}" in prompt and not utterance.emotion:
        raise StudyError(f"{utterance.id}: has no emotion label, and stage 2 needs one; drop the row or label it")
    return prompt.format(emotion=utterance.emotion)


def _rows(
    utterances: list[Utterance], instructions: list[str], ask: Callable, writer: str, more=(), begun: bool = False
) -> list[dict]:
    """more: fields of an answer that the rows have besides. begun: the LLM goes on after the sentence."""
    chats = [prompts.chat(prompts.SYSTEM, i + u.text) for i, u in zip(instructions, utterances, strict=True)]
    if begun:
        # without the space, Qwen2.5 ends its turn at once
        sentences = [re.sub(r"(\w)$", r"\1.", utterance.text.strip()) + " " for utterance in utterances]
        chats = [[*chat, {"role": "assistant", "content": text}] for chat, text in zip(chats, sentences, strict=True)]
    answers = ask(chats)
    return [
        {**as_row(u), "instruction": i, "output": a.text, "early_stop": a.early_stop, "writer": writer}
        | {name: getattr(a, name) for name in more}
        for u, i, a in zip(utterances, instructions, answers, strict=True)
    ]


def fitting_labels(llm, tokenizer, rows: Iterable[dict], emotions: Sequence[str], most: int = 40) -> pd.DataFrame:
    """Do the targets of stage 2 depend on the label? For every label up to `most` different targets, in columns `label`
    and `fits`: the label under which the LLM gives the target its highest probability. Where that is another one, the
    target tells the student about no emotion, or a wrong one."""
    different = {(row["emotion"], row["text"], row["output"]) for row in rows if row["instruction"] != prompts.REPEAT}
    kept = [row for name in emotions for row in sorted(one for one in different if one[0] == name)[:most]]
    asked = [
        prompts.chat(prompts.SYSTEM, prompts.CONTINUE_EMOTION.format(emotion=name) + text)
        for _, text, _ in kept
        for name in emotions
    ]
    replies = [output for *_, output in kept for _ in emotions]
    logs = log_probabilities(ready(llm), tokenizer, asked, replies, FITTED)
    best = np.array(logs).reshape(len(kept), len(emotions)).argmax(axis=1)
    return pd.DataFrame({"label": [row[0] for row in kept], "fits": [emotions[place] for place in best]})


def named_emotions(llm, tokenizer, rows: list[dict], **settings) -> list[str | None]:
    """The emotion that the LLM names, zero-shot, of each sentence with its target, as text; None where it names none. A
    student of the targets can hardly name what they do not show. settings: of `llm.answer`."""
    chats = [prompts.chat(prompts.SYSTEM, f"{prompts.IDENTIFY}{row['text']} {row['output']}".rstrip()) for row in rows]
    return [parse_emotion(one.text) for one in answer(ready(llm), tokenizer, chats, **settings)]


def sample_named(
    llm, tokenizer, utterances: list[Utterance], needed_by: str = "", *,
    temperature: float, draws: int, different: int, **settings,
) -> tuple[list[dict], list[dict]]:  # fmt: skip
    """Targets of stage 2 for an LLM whose greedy ones do not show the label: sampled up to `draws` times until the LLM
    itself names the label of sentence and target. Ours, not the paper's; the label is that of the training data.

    Of clips with the same sentence and label, the first `different` get a target each, which the others share in turn:
    actors say few sentences, and one greedy target for all their clips is learnt by heart.
    settings: of `write_continuations`. The second list: clips without a target, with the `reason`. Raises StudyError
    when no clip has one and `needed_by`, a stage, has no targets for that reason.
    """
    groups: dict = {}
    for one in utterances:
        groups.setdefault((one.text, one.emotion, one.history), []).append(one)
    missing, found = [one for group in groups.values() for one in group[:different]], {}
    asked = {name: settings[name] for name in ("batch_size", "unfinished") if name in settings}
    for draw in range(draws):
        sampling = {"temperature": temperature, "seed": draw}
        rows, _ = clean(write_continuations(llm, tokenizer, missing, prompts.CONTINUE_EMOTION, **settings, **sampling))
        names = named_emotions(llm, tokenizer, rows, max_new_tokens=16, **asked)
        found |= {of_row(row): row for row, name in zip(rows, names, strict=True) if name == row["emotion"]}
        missing = [one for one in missing if one not in found]
    kept, rejected = [], []
    for group in groups.values():
        targets = [found[one] for one in group[:different] if one in found]
        kept += [targets[place % len(targets)] | as_row(one) for place, one in enumerate(group) if targets]
        rejected += [as_row(one) | {"output": "", "reason": "emotion not named"} for one in group if not targets]
    _refuse_none(kept, rejected, needed_by)
    return kept, rejected


def _without_restatement(row: dict) -> dict:
    """The row, whose output starts after the sentence where the LLM first restates it (then `restated` is true)."""
    words = re.findall(r"\w+", row["text"])
    if row["instruction"] == prompts.REPEAT or not words:
        return row
    sentence = re.match(r"\W*" + r"\W+".join(words) + r"\b[\s.,;:!?…\-–—\"'”’)]*", row["output"], re.I)
    return {**row, "output": row["output"][sentence.end() :], "restated": True} if sentence else row


def _fault(row: dict) -> str | None:
    output = row["output"].strip()
    if not MIN_SECONDS <= row["duration"] <= MAX_SECONDS:
        return f"duration outside {MIN_SECONDS:.0f}-{MAX_SECONDS:.0f} s"
    if row.get("refused") or REFUSAL.search(output):
        return "refusal"
    if row.get("restated") and len(re.findall(r"\w", output)) < MIN_NEW:
        return "repeats the sentence"
    if not output:
        return "empty"
    if TASK.search(output):
        return "talks about the task"
    if row["instruction"] == prompts.REPEAT and _words(output) != _words(row["text"]):
        return "does not repeat the sentence"
    return None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def clean(rows: Iterable[dict]) -> tuple[list[dict], list[dict]]:
    """Rows that can be targets, without restatements, and the others as they were written, with the `reason`."""
    kept, rejected = [], []
    for row in rows:
        shortened = _without_restatement(row)
        if reason := _fault(shortened):
            rejected.append({**row, "reason": reason})
        else:
            kept.append(shortened)
    return kept, rejected


def clean_and_retry(
    llm, tokenizer, rows: Iterable[dict], needed_by: str = "", **settings
) -> tuple[list[dict], list[dict]]:
    """`clean`, but the LLM is asked again for what it only repeats or declines to continue: its answer then begins with
    the sentence, and it writes what follows. Such rows are `retried`. Ours, not the paper's: of a small LLM, some
    emotions of a corpus would have no target at all. settings: of `llm.answer`.

    Raises StudyError when all rows are rejected and `needed_by`, a stage, has no targets for that reason.
    """
    kept, faulty = clean(rows)
    again = [row for row in faulty if row["reason"] in RETRIED and row["instruction"] != prompts.REPEAT]
    ask, instructions = partial(answer, ready(llm), tokenizer, **settings), [row["instruction"] for row in again]
    written = _rows([of_row(row) for row in again], instructions, ask, "", begun=True)
    retried = [{**row, "writer": old["writer"], "retried": True} for row, old in zip(written, again, strict=True)]
    more, rejected = clean(retried)
    done = {id(row) for row in again}
    kept, rejected = kept + more, rejected + [row for row in faulty if id(row) not in done]
    _refuse_none(kept, rejected, needed_by)
    return kept, rejected


def _refuse_none(kept: list[dict], rejected: list[dict], needed_by: str) -> None:
    if needed_by and rejected and not kept:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in Counter(row["reason"] for row in rejected).most_common())
        raise StudyError(
            f"none of the {len(rejected)} continuations can be a target of {needed_by}: {reasons}; set llm.source to "
            "an LLM that follows instructions, or choose other corpora in the section continuations of params.yaml"
        )
