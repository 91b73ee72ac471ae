"""The systems: cascades that read words turn by turn, answers of other programs, and how a name finds its class."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from blsp_core.data import prompts
from blsp_core.data.manifest import Turn, Utterance, write_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation import systems, tasks

HISTORY = (Turn("user", "we saw the cat", "a.wav", "sad", 1.0), Turn("assistant", "please go on."))
LAST = Utterance("b.wav", "what should i do about it", "angry", "d-1", "m1", "en", 1.0, "dialogues", "test", HISTORY)
ALONE = replace(LAST, id="d-2", text="how do i wash the dog", emotion="happy", history=())
DIALOGUE = tasks.spoken_requests("dialogues", kind="dialogue")
PARAMS = {
    "seed": 1,
    "systems": {
        "text+llm": {"class": "TextLLM"}, "whisper+llm": {"class": "WhisperLLM"}, "gold+llm": {"class": "GoldLLM"},
        "random+llm": {"class": "RandomLLM"}, "wrong": {"class": "TextLM"},
        "mine": {"class": "External", "reads": "../mine.jsonl"},
    },
    "runs": {
        "core": {"blsp": {"stage": "stage1", "seed": 1}, "blsp-emo": {"stage": "stage2", "seed": 1}},
        "full": {"no-loss": {"stage": "stage2", "emotion_weight": 0}, "wavlm+llm": {"stage": "classifier"}},
    },
    "stage1": {"steps": 1}, "stage2": {"emotion_weight": 1.0},
}  # fmt: skip


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study whose LLM is asked nothing: `asked` collects the chats. Products are made as a test needs them."""
    asked = []

    def answer(llm, tokenizer, chats, max_new_tokens, batch_size, unfinished):
        asked.extend(chats)
        return [SimpleNamespace(text="") for _ in chats]

    monkeypatch.setattr(systems.llm, "load", lambda folder: (folder, None))
    monkeypatch.setattr(systems.llm, "answer", answer)
    folder = tmp_path / "mini"
    write_jsonl(folder / "transcripts/dialogues.test.jsonl", [{"id": "d-2", "text": "how do i watch the dog"}])
    settings = SimpleNamespace(ser=["acted", "ravdess.fold1"], altered=[], requests="", dialogues="dialogues")
    vars(settings).update(batch_size=7, max_new_tokens={"ser": 1, "reply": 1})
    parts = {"folder": folder, "seed": 1, "params": PARAMS, "settings": settings, "asked": asked}
    parts["checkpoints"] = tmp_path
    return SimpleNamespace(read=lambda path: folder / path, **parts)


def test_a_cascade_reads_words_and_emotion_of_every_turn_of_the_user_and_the_instruction_last(study):
    systems.load("gold+llm", study).answer([LAST], DIALOGUE)
    assert [tuple(message.values()) for message in study.asked[-1]] == [
        ("system", prompts.SYSTEM_EMPATHY),
        ("user", "(The speaker sounds sad.) we saw the cat"),
        ("assistant", "please go on."),
        ("user", "(The speaker sounds angry.) what should i do about it"),
    ]
    for name, words in (("text+llm", ALONE.text), ("whisper+llm", "how do i watch the dog")):
        systems.load(name, study).answer([ALONE], tasks.recognition("acted"))
        assert [message["content"] for message in study.asked[-1]] == [prompts.SYSTEM, prompts.IDENTIFY + words]


def test_random_emotions_are_the_same_for_an_utterance_in_every_task(study):
    random, turns = systems.load("random+llm", study), [replace(ALONE, id=f"d-{i}") for i in range(100)]
    emotions = random.emotions(turns)
    assert emotions == random.emotions(turns[::-1])[::-1] and len(set(emotions)) == 5


def test_a_trained_run_is_read_by_the_class_of_its_stage(study, monkeypatch):
    monkeypatch.setattr(systems, "load_model", lambda folder: (folder, folder))
    asked = []

    def reply_with_emotion(model, processor, spoken, root, **settings):
        asked.append(settings)
        return [{"reply": turn.text, "emotion": "sad", "share": 0.5} for turn in spoken]

    monkeypatch.setattr(systems.speech, "reply_with_emotion", reply_with_emotion)
    found = systems.load("blsp-emo", study)
    assert isinstance(found, systems.BlspEmo) and found.model == study.folder / "models/blsp-emo"
    assert found.answer([ALONE], DIALOGUE) == [ALONE.text] and found.by_head == [("sad", 0.5)]
    settings = asked[0]
    assert (settings["system"], settings["instruction"], settings["batch_size"]) == (prompts.SYSTEM_EMPATHY, "", 7)
    assert settings["unfinished"] == study.checkpoints / "dialogue.dialogues.jsonl"
    heads = {name: systems.load(name, study).has_head for name in ("blsp", "blsp-emo", "no-loss")}
    assert heads == {"blsp": False, "blsp-emo": True, "no-loss": False}


def test_a_classifier_is_read_as_a_cascade(study, monkeypatch):
    emotions = SimpleNamespace(emotions=lambda turns: [f"that of {turn.id}" for turn in turns])
    module = SimpleNamespace(Classifier=lambda folder, root: emotions)
    monkeypatch.setitem(sys.modules, "blsp_core.training.ser_classifier", module)
    systems.load("wavlm+llm", study).answer([ALONE], tasks.spoken_requests())
    assert study.asked[0][1]["content"] == "(The speaker sounds that of d-2.) how do i watch the dog"


def test_an_unknown_name_or_class_is_an_error(study):
    with pytest.raises(StudyError, match="no 'blsp-emu' in runs or systems; add it there"):
        systems.load("blsp-emu", study)
    with pytest.raises(StudyError, match="wrong: no class or stage for .*TextLM.*; known: TextLLM, GoldLLM"):
        systems.load("wrong", study)


def row(name: str, response: str = "sad", task: str = "ser.acted") -> dict:
    return {"id": name, "task": task, "response": response, "model": "another"}


def external(study, *rows: dict) -> systems.External:
    write_jsonl(study.folder.parent / "mine.jsonl", rows)
    return systems.load("mine", study)


def test_answers_of_another_program_are_put_in_order_and_tasks_and_folds_kept_apart(study):
    folds = row("d-1", task="ser.ravdess"), row("d-2", "happy", "ser.ravdess")
    other = external(study, row("d-2", "happy"), row("d-1"), row("d-1", "go on", "dialogue"), *folds)
    assert other.answer([LAST, ALONE], tasks.recognition("acted")) == ["sad", "happy"]
    assert other.answer([LAST], DIALOGUE) == ["go on"]
    assert other.answer([LAST, ALONE], tasks.showcase()) == ["", ""]  # is not measured, may be left out
    assert other.answer([LAST], tasks.recognition("ravdess.fold1")) == ["sad"]
    assert other.answer([ALONE], tasks.recognition("ravdess.fold2")) == ["happy"]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([row("d-1")], "mine.jsonl: task ser.acted: 1 of 2 utterances without an answer, the first is d-2; add a row"),
        ([row("d-1"), row("d-2"), row("x"), row("y")], "2 rows with ids that the manifest lacks, the first is x; take"),
        ([row("d-1"), row("d-2"), row("d-1", "happy")], "1 ids with more than one answer, the first is d-1; keep one"),
        ([row("d-1"), {"id": "d-2", "task": "ser.acted"}], "line 2: no text in response; a row has id, task, response"),
    ],
)
def test_answers_that_do_not_match_the_manifest_are_one_sentence_with_their_count(study, rows, sentence):
    with pytest.raises(StudyError, match=sentence):
        external(study, *rows).answer([LAST, ALONE], tasks.recognition("acted"))
