"""Batches of like length, and what a process that was killed has finished."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures import make_llm, make_tokenizer

from blsp_core.data.manifest import read_jsonl
from blsp_core.data.prompts import SYSTEM, chat
from blsp_core.inference import asr, llm, speech
from blsp_core.inference.batches import run_in_batches

TESTS = Path(__file__).resolve().parents[1]


def test_batches_are_of_like_length_and_results_in_the_order_of_the_inputs():
    seen, lengths = [], [5, 1, 4, 2, 3]
    results = run_in_batches(lambda batch: [seen.append([lengths[i] for i in batch])] + batch[1:], lengths, 2)
    assert seen == [[1, 2], [3, 4], [5]] and results == [None, None, 2, 3, None]
    assert run_in_batches(lambda batch: batch, [], 2) == []


CHATS = [chat(SYSTEM, "word " * count + "end") for count in (1, 9, 3, 5, 2, 7, 4)]
KILLED = f"""
import os, signal, sys
sys.path[:0] = {[str(TESTS.parent), str(TESTS)]!r}
from pathlib import Path
from inference.test_batches import replies
from fixtures import make_llm
from blsp_core.inference import llm
greedy, calls = llm.greedy, []
def killed(*inputs):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return greedy(*inputs)
llm.greedy = killed
replies(make_llm(), Path(sys.argv[1]))
"""


def replies(model, unfinished: Path | None) -> list[llm.Answer]:
    return llm.answer(model, make_tokenizer(), CHATS, 6, 2, unfinished)


def test_after_sigkill_the_finished_batches_are_kept_and_the_others_are_as_without_it(tmp_path, monkeypatch):
    path, model, seen = tmp_path / "replies.jsonl", make_llm(), []
    greedy = llm.greedy
    monkeypatch.setattr(
        llm, "greedy", lambda model, ids, *more: seen.append(ids["input_ids"].tolist()) or greedy(model, ids, *more)
    )
    whole, batches = replies(model, None), [*seen]
    killed = subprocess.run([sys.executable, "-c", KILLED, path], env=os.environ, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(read_jsonl(path)) == 2
    path.write_bytes(path.read_bytes() + b'{"a row that the kill cut')
    seen.clear()
    assert replies(model, path) == whole and seen == batches[2:] and len(batches) == 4
    assert sum(map(len, read_jsonl(path))) == len(CHATS)
    seen.clear()
    assert replies(model, path) == whole and seen == []


@pytest.mark.parametrize("work", ["transcripts", "replies to speech"])
def test_transcripts_and_replies_to_speech_are_resumed_alike(
    work, backbones, speech_model, corpus, tmp_path, monkeypatch
):
    (folder, rows), path, whisper = corpus, tmp_path / "unfinished.jsonl", asr.load_whisper(backbones[0])
    prompt, sizes = {"system": SYSTEM, "instruction": "", "max_new_tokens": 5}, []

    def run(unfinished):
        if work == "transcripts":
            return asr.write_transcripts(tmp_path, rows, whisper, folder, 3, unfinished).read_bytes()
        return speech.reply(*speech_model, rows, folder, **prompt, batch_size=3, unfinished=unfinished)

    whole, (owner, name) = run(None), (whisper[0], "generate") if work == "transcripts" else (llm, "greedy")
    function = getattr(owner, name)

    def interrupted(*models, **inputs):
        sizes.append(len(next(iter((inputs or models[1]).values()))))
        if len(sizes) == 2:
            raise KeyboardInterrupt
        return function(*models, **inputs)

    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(path)
    assert run(path) == whole and sizes == [3, 3, 3, 2] and sum(map(len, read_jsonl(path))) == 8
    if work != "transcripts":  # another prompt is another reply
        assert speech.reply(*speech_model, rows[:1], folder, **{**prompt, "instruction": "say: "}, unfinished=path)
        assert sizes[4:] == [1]
