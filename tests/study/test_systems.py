"""The systems: cascades that read what was said, turn by turn, answers of other programs, and where each is found."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from blsp_core.data import prompts
from blsp_core.data.manifest import Turn, Utterance, write_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation import systems, tasks
from blsp_core.inference.transcripts import Transcripts, write_transcripts
from blsp_core.model import BlspEmoForConditionalGeneration
from blsp_core.toy import corpora as miniature

HISTORY = (Turn("user", "we saw the cat", "a.wav", "sad", 1.0), Turn("assistant", "please go on."))
LAST = Utterance("b.wav", "what should i do about it", "angry", "d-1", "m1", "en", 1.0, "dialogues", "test", HISTORY)
ALONE = replace(LAST, id="d-2", text="how do i wash the dog", emotion="happy", history=())


@pytest.fixture
def asked(monkeypatch):
    """The chats that the LLM of a cascade is asked, instead of its answers."""
    seen = []

    def answer(llm, tokenizer, chats, max_new_tokens, batch_size):
        seen.extend(chats)
        return [SimpleNamespace(text="") for _ in chats]

    monkeypatch.setattr(systems, "answer", answer)
    return seen


def contents(chat: list[dict]) -> list[str]:
    return [message["content"] for message in chat]


def test_a_cascade_is_told_words_and_tone_of_every_turn_of_the_user(backbones, asked):
    cascade = systems.Cascade(backbones[1], systems.transcripts, systems.labels)
    cascade.answer([LAST, ALONE], tasks.dialogue())
    assert contents(asked[0])[1:] == [
        "(The speaker sounds sad.) we saw the cat",
        "please go on.",
        "(The speaker sounds angry.) what should i do about it",
    ]
    assert [message["role"] for message in asked[0]] == ["system", "user", "assistant", "user"]
    assert contents(asked[1]) == [prompts.SYSTEM_EMPATHY, "(The speaker sounds happy.) how do i wash the dog"]


def test_an_instruction_stands_before_the_last_turn(backbones, asked):
    systems.Cascade(backbones[1], systems.transcripts).answer([ALONE], tasks.recognition("acted"))
    assert contents(asked[0]) == [prompts.SYSTEM, prompts.IDENTIFY + ALONE.text]


def test_words_of_a_language_that_nobody_knows_are_read_without_complaint(backbones):
    cascade = systems.Cascade(backbones[1], systems.transcripts)
    foreign = [
        replace(ALONE, text=miniature.plan(corpus, "test", 1, 1)[0].sentence.text) for corpus in ("greek", "russian")
    ]
    assert len(cascade.answer(foreign, replace(tasks.recognition("greek"), max_new_tokens=2))) == 2


def test_what_a_whisper_heard_is_written_once_and_read_for_every_turn(tmp_path):
    path = write_transcripts(tmp_path, [LAST, ALONE], lambda turns: [turn.text.upper() for turn in turns])
    assert path == tmp_path / "dialogues.test.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[0] == {"id": "d-1#0", "text": "WE SAW THE CAT"} and [row["id"] for row in rows[1:]] == ["d-1", "d-2"]
    assert Transcripts(tmp_path).words([ALONE, *LAST.spoken]) == [
        "HOW DO I WASH THE DOG",
        "WE SAW THE CAT",
        "WHAT SHOULD I DO ABOUT IT",
    ]


def test_a_transcript_that_is_not_there_is_named(tmp_path):
    write_transcripts(tmp_path, [ALONE], systems.transcripts)
    with pytest.raises(StudyError, match=r"dialogues.test.jsonl: 2 utterances are missing, the first is d-1#0"):
        Transcripts(tmp_path).words(LAST.spoken)
    with pytest.raises(StudyError, match="talk.test.jsonl: there is no such file"):
        Transcripts(tmp_path).words([replace(ALONE, corpus="talk")])


def external(folder, *rows: dict) -> systems.External:
    write_jsonl(folder / "other.jsonl", rows)
    return systems.External(folder / "other.jsonl")


def row(name: str, response: str = "sad", task: str = "ser.acted") -> dict:
    return {"id": name, "task": task, "response": response, "model": "another"}


def test_answers_of_another_program_are_put_in_order_and_tasks_kept_apart(tmp_path):
    other = external(tmp_path, row("d-2", "happy"), row("d-1"), row("d-1", "go on", "dialogue"))
    assert other.answer([LAST, ALONE], tasks.recognition("acted")) == ["sad", "happy"]
    assert other.answer([LAST], tasks.dialogue()) == ["go on"]


def test_of_a_corpus_in_folds_each_fold_takes_its_own_answers(tmp_path):
    other = external(tmp_path, row("d-1", task="ser.ravdess"), row("d-2", "happy", "ser.ravdess"))
    assert other.answer([LAST], tasks.recognition("ravdess.fold1")) == ["sad"]
    assert other.answer([ALONE], tasks.recognition("ravdess.fold2")) == ["happy"]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([row("d-1")], "other.jsonl: task ser.acted: 1 of 2 utterances without an answer, the first is d-2; add a row"),
        ([row("d-1"), row("d-2"), row("x"), row("y")], "2 rows with ids that the manifest lacks, the first is x; take"),
        ([row("d-1"), row("d-2"), row("d-1", "happy")], "1 ids with more than one answer, the first is d-1; keep one"),
        ([row("d-1", task="requests")], "2 of 2 utterances without an answer"),
    ],
)
def test_answers_that_do_not_match_the_manifest_are_one_sentence_with_their_count(tmp_path, rows, sentence):
    with pytest.raises(StudyError, match=sentence):
        external(tmp_path, *rows).answer([LAST, ALONE], tasks.recognition("acted"))


def test_a_row_without_its_fields_is_named_by_its_line(tmp_path):
    with pytest.raises(StudyError, match="line 2: no text in response; a row has id, task, response"):
        external(tmp_path, row("d-1"), {"id": "d-2", "task": "ser.acted"})


def test_another_program_may_leave_out_what_is_not_measured(tmp_path):
    assert external(tmp_path, row("d-1")).answer([LAST, ALONE], tasks.showcase()) == ["", ""]


@pytest.fixture
def study(tmp_path, backbones, hearing_model):
    """A study whose products are the tiny backbones and one trained model."""
    data = tmp_path / "data"
    (data / "manifests").mkdir(parents=True)
    (data / "foundation").mkdir()
    (data / "foundation/llm").symlink_to(backbones[1])
    model, processor = hearing_model
    for part in (model, processor):
        part.save_pretrained(data / "models/seed3/blsp-emo")
    write_transcripts(data / "transcripts", [ALONE], lambda turns: ["heard"])
    write_jsonl(tmp_path / "other.jsonl", [row("d-1")])
    params = {"semantic": {"blsp": None}, "variants": {"blsp-emo": None, "deaf": {"emotion_weight": 0}}}
    params |= {
        "external": {"other": "other.jsonl"},
        "stage2": {"emotion_weight": 1},
        "scales": {"mini": {"stage2": {}}},
    }
    (data / "models/seed3/deaf").symlink_to(data / "models/seed3/blsp-emo")
    places = {"root": tmp_path, "read": lambda path: data / path}
    settings = SimpleNamespace(batch_size=7)
    return SimpleNamespace(**places, seed=1, train_seed=3, scale="mini", params=params, settings=settings)


def test_every_system_is_found_by_its_name(study):
    assert systems.load("text+llm", study).words([ALONE]) == [ALONE.text]
    assert systems.load("whisper+llm", study).words([ALONE]) == ["heard"]
    assert systems.load("gold+llm", study).emotion([ALONE]) == ["happy"]
    told = systems.load("random+llm", study)
    assert told.emotion([ALONE, LAST]) == systems.load("random+llm", study).emotion([ALONE, LAST])
    assert isinstance(systems.load("other", study), systems.External)
    assert isinstance(systems.load("blsp-emo", study).model, BlspEmoForConditionalGeneration)
    assert systems.load("text+llm", study).batch_size == systems.load("blsp-emo", study).batch_size == 7
    assert systems.load("blsp-emo", study).has_head and not systems.load("deaf", study).has_head


def test_a_name_that_params_do_not_know_is_an_error(study):
    with pytest.raises(StudyError, match="no 'blsp-emu' in semantic, variants, classifiers, external; add it there"):
        systems.load("blsp-emu", study)
