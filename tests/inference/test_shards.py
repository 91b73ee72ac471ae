"""Several processes compute what one does."""

import pytest

from blsp_core.data import prompts
from blsp_core.data.manifest import append_jsonl, read_jsonl
from blsp_core.errors import StudyError
from blsp_core.inference import asr, llm, shards, speech
from blsp_core.inference.answers import load_model

CHATS = [prompts.chat(prompts.SYSTEM, "go on: " + "word " * n) for n in range(7)]


@pytest.fixture
def tasks(backbones, speech_model, corpus, tmp_path):
    """By name: inference over the inputs of a small task, of a file for unfinished work."""
    root, rows = corpus
    for part in speech_model:
        part.save_pretrained(tmp_path / "model")
    ask = {"system": prompts.SYSTEM, "instruction": "", "max_new_tokens": 4, "batch_size": 2}

    def answer(file):
        return llm.answer(*llm.load(backbones[1]), CHATS, 5, 2, file)

    def reply(file):
        return speech.reply(*load_model(tmp_path / "model"), rows, root, unfinished=file, **ask)

    def transcribe(file):
        path = asr.write_transcripts(tmp_path, rows, asr.load_whisper(backbones[0]), root, 3, file)
        return read_jsonl(path)

    return {"answer": answer, "reply": reply, "transcribe": transcribe}


@pytest.mark.parametrize("name", ["answer", "reply", "transcribe"])
def test_two_processes_do_all_the_work_with_the_results_of_one(tasks, tmp_path, monkeypatch, name):
    file, run = tmp_path / "work.jsonl", tasks[name]
    monkeypatch.setattr(shards, "LEAST", 2)
    expected = run(None)
    monkeypatch.setenv("BLSP_PROCESSES", "2")
    done = {}
    monkeypatch.setattr(shards, "collect", lambda path: done.update(count(path)) or collect(path))
    assert run(file) == expected
    assert len(done) == 2 and min(done.values()) > 0 and len(read_jsonl(file)) == sum(done.values())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("work")] == ["work.jsonl"]


collect = shards.collect


def count(path):
    return {part.name: len(read_jsonl(part)) for part in path.parent.glob(f"{path.name}.[0-9]")}


def test_what_a_killed_run_has_left_is_collected_and_a_broken_line_dropped(tmp_path):
    file = tmp_path / "work.jsonl"
    append_jsonl(file, [{"a": 1}])
    append_jsonl(tmp_path / "work.jsonl.0", [{"b": 2}])
    (tmp_path / "work.jsonl.1").write_text('{"c": 3}\n{"d": ')
    with open(file, "a") as broken:
        broken.write('{"e"')
    shards.collect(file)
    assert read_jsonl(file) == [{"a": 1}, {"b": 2}, {"c": 3}] and list(tmp_path.iterdir()) == [file]


def test_few_inputs_and_models_changed_in_memory_stay_in_one_process(tasks, backbones, tmp_path, monkeypatch):
    monkeypatch.setenv("BLSP_PROCESSES", "2")
    monkeypatch.setattr(shards.processes, "run", lambda *_: pytest.fail("started"))
    tasks["answer"](tmp_path / "work.jsonl")
    monkeypatch.setattr(shards, "LEAST", 2)
    model, tokenizer = llm.load(backbones[1])
    del model.loaded_from
    assert len(llm.answer(model, tokenizer, CHATS, 5, 2, tmp_path / "other.jsonl")) == len(CHATS)


def test_an_error_of_a_process_is_that_of_the_call(tasks, backbones, tmp_path, monkeypatch):
    monkeypatch.setenv("BLSP_PROCESSES", "2")
    monkeypatch.setattr(shards, "LEAST", 2)
    model, tokenizer = llm.load(backbones[1])
    model.loaded_from = str(tmp_path / "gone")
    with pytest.raises(StudyError, match="gone: no chat LLM can be read there"):
        llm.answer(model, tokenizer, CHATS, 5, 2, tmp_path / "work.jsonl")
