"""Which prompt the LLM gets, and which of its continuations become targets."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from blsp_core.data import prompts
from blsp_core.data.manifest import Utterance, as_row, of_row
from blsp_core.errors import StudyError
from blsp_core.inference import continuations
from blsp_core.inference.continuations import clean, clean_and_retry, write_continuations, write_elsewhere
from blsp_core.inference.llm import Answer, answer, generate, log_probabilities
from blsp_core.model.templates import render

UTTERANCE = Utterance("a.flac", "we saw the dog at home", "sad", "a-1", "m1", "en", 2.0, "acted", "train")
ROW = {"instruction": prompts.CONTINUE, **vars(UTTERANCE), "output": "it was a sad moment."}
AGAIN = ROW | {"instruction": prompts.REPEAT, "output": ROW["text"]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"output": "  "}, "empty"),
        ({"duration": 0.4}, "duration outside 1-30 s"),
        ({"duration": 31.0}, "duration outside 1-30 s"),
        ({"output": "I'm sorry, but I cannot continue this."}, "refusal"),
        ({"output": "As an AI, I have no dog."}, "refusal"),
        ({"output": "I cannot believe it, but I cannot say more."}, "refusal"),
        ({"refused": True, "output": ""}, "refusal"),
        ({"output": "We saw the dog at home again."}, "repeats the sentence"),
        ({"output": "“We saw the dog, at home.”"}, "repeats the sentence"),
        ({"output": "Sure, here's a sentence that reflects a sad emotion tone:"}, "talks about the task"),
        (AGAIN | {"output": "we saw the dog at homes"}, "does not repeat the sentence"),
        (AGAIN | {"output": "something else"}, "does not repeat the sentence"),
    ],
)
def test_what_cannot_be_a_target_is_rejected_as_written_with_the_reason(row, reason):
    assert clean([ROW, ROW | row, AGAIN]) == ([ROW, AGAIN], [ROW | row | {"reason": reason}])


@pytest.mark.parametrize(
    ("output", "target"),
    [
        ("We saw the dog at home. It was asleep.", "It was asleep."),
        ("“We saw the dog at home,” she said quietly.", "she said quietly."),
        ("we saw the dog at home and then it ran away", "and then it ran away"),
        ("we saw the dog at homecoming and were glad", None),
        ("I cannot believe it! I cannot wait to see it.", None),
        ("i am sorry that you feel so sad.", None),
    ],
)
def test_what_follows_a_restated_sentence_is_the_target_and_any_other_output_is_kept_as_it_is(output, target):
    row = ROW | {"output": output}
    assert clean([row]) == ([row | ({"output": target, "restated": True} if target else {})], [])


@pytest.fixture(scope="module")
def llm(backbones):
    return AutoModelForCausalLM.from_pretrained(backbones[1]).eval(), AutoTokenizer.from_pretrained(backbones[1])


SETTINGS = {"max_new_tokens": 6, "batch_size": 2}


def write(llm, utterance, prompt=prompts.CONTINUE_EMOTION):
    (row,) = write_continuations(*llm, [utterance], prompt, writer="llm", **SETTINGS)
    return row


@pytest.fixture
def asked(llm, monkeypatch):
    """`clean_and_retry` with the LLM's second replies given; and the chats that it is asked."""
    chats = []

    def retry(rows, replies, needed_by=""):
        monkeypatch.setattr(continuations, "answer", lambda *found, **_: chats.extend(found[2]) or map(Answer, replies))
        return clean_and_retry(*llm, rows, needed_by, **SETTINGS)

    return retry, chats


def test_a_stage_without_any_target_is_refused_with_the_reasons(asked):
    rows = [ROW | {"output": "", "writer": "llm"}, ROW | {"duration": 0.2, "writer": "llm"}]
    with pytest.raises(StudyError, match=r"none of the 2 continuations .* stage1: refusal \(1\), duration .* \(1\)"):
        asked[0](rows, ["I cannot."], "stage1")
    assert len(asked[0](rows, ["I cannot."])[1]) == 2


def test_what_the_llm_only_repeats_or_declines_is_asked_for_again_with_its_answer_begun(asked):
    retry, chats = asked
    rows = [ROW, ROW | {"output": ROW["text"]}, ROW | {"output": "I cannot."}, AGAIN | {"output": "something else"}]
    kept, rejected = retry([row | {"writer": "llm"} for row in rows], ["It was asleep.", ""])
    again = {"writer": "llm", "output": "It was asleep.", "retried": True, "early_stop": False}
    assert kept == [ROW | {"writer": "llm"}, {**as_row(UTTERANCE), "instruction": prompts.CONTINUE, **again}]
    assert [row["reason"] for row in rejected] == ["empty", "does not repeat the sentence"]
    assert [chat[-1] for chat in chats] == [{"role": "assistant", "content": "we saw the dog at home. "}] * 2
    assert chats[0][:-1] == prompts.chat(prompts.SYSTEM, prompts.CONTINUE + ROW["text"])


def test_a_begun_answer_is_continued_and_not_begun_anew(llm):
    model, tokenizer = llm
    chat = [*prompts.chat(prompts.SYSTEM, "say: "), {"role": "assistant", "content": "we saw"}]
    (found,) = answer(model, tokenizer, [chat], **SETTINGS)
    text = render(tokenizer, chat[:-1], add_generation_prompt=True) + "we saw"
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    assert found == generate(model, tokenizer, ids, SETTINGS["max_new_tokens"])[0][0]


def test_a_row_has_its_utterance_and_the_prompt_and_is_marked_where_the_limit_cuts_it(llm):
    row = write(llm, UTTERANCE)
    assert row["instruction"] == prompts.CONTINUE_EMOTION.format(emotion="sad") and row["writer"] == "llm"
    assert of_row(row) == UTTERANCE and row["early_stop"] is True


def test_an_utterance_without_a_label_has_no_emotional_continuation(llm):
    unlabelled = replace(UTTERANCE, emotion="")
    with pytest.raises(StudyError, match="a-1: has no emotion label"):
        write(llm, unlabelled)
    assert write(llm, unlabelled, prompts.CONTINUE)["instruction"] == prompts.CONTINUE


def test_a_second_llm_gets_the_same_prompt_and_its_rows_say_so(llm, backbones, tmp_path):
    (row,) = write_elsewhere({"model": "llm"}, [UTTERANCE], root=backbones[1].parent, cache=tmp_path, **SETTINGS)
    assert row == write(llm, UTTERANCE) | {"writer": "other"}
    (tmp_path / "second_llm").mkdir()
    with pytest.raises(StudyError, match="second_llm holds no LLM; set llm.second"):
        write_elsewhere({"model": "second_llm"}, [UTTERANCE], root=tmp_path, cache=tmp_path, **SETTINGS)


def test_a_target_fits_the_label_under_which_it_is_most_probable(monkeypatch):
    def log_probabilities(llm, tokenizer, chats, replies, batch_size):
        return [float(reply.split()[-1] in chat[1]["content"]) for chat, reply in zip(chats, replies, strict=True)]

    monkeypatch.setattr(continuations, "log_probabilities", log_probabilities)
    outputs = {"sad": ["how sad", "how happy"], "happy": ["so happy"]}
    rows = [ROW | {"emotion": name, "output": text} for name, texts in outputs.items() for text in texts + texts]
    found = continuations.fitting_labels(torch.nn.Module(), None, [*rows, AGAIN], ["happy", "sad"])
    assert found.to_dict("list") == {"label": ["happy", "sad", "sad"], "fits": ["happy", "happy", "sad"]}


def test_the_log_probability_of_a_reply_is_that_of_its_tokens_one_by_one_whatever_is_read_beside(llm):
    chats = [prompts.chat(prompts.SYSTEM, text) for text in ("say it", "continue: we saw the dog at home", "sing")]
    replies = ["it was a sad moment.", "hello", "the dog was there"]
    found = log_probabilities(*llm, chats, replies, batch_size=2)
    for chat, reply, total in zip(chats, replies, found, strict=True):
        prompt = llm[1](render(llm[1], chat, add_generation_prompt=True), add_special_tokens=False).input_ids
        ids = prompt + llm[1](reply, add_special_tokens=False).input_ids
        with torch.no_grad():
            logs = llm[0](torch.tensor([ids])).logits[0].log_softmax(-1)
        one_by_one = sum(logs[place - 1, ids[place]].item() for place in range(len(prompt), len(ids)))
        assert total == pytest.approx(one_by_one, abs=1e-3)


def test_targets_are_sampled_until_the_llm_names_their_emotion_and_clips_of_one_sentence_share_them(monkeypatch):
    """A clip's first draw is named "sad", its second as the label; "tea" is never named "angry"."""
    asked = []

    def write(llm, tokenizer, utterances, prompt, *, writer, seed, temperature):
        asked.append([one.id for one in utterances])
        output = [f"{one.id} {'sad' if seed == 0 or one.text == 'tea' else one.emotion}" for one in utterances]
        return [as_row(u) | {"instruction": prompt, "output": o} for u, o in zip(utterances, output, strict=True)]

    monkeypatch.setattr(continuations, "write_continuations", write)
    monkeypatch.setattr(continuations, "named_emotions", lambda _, __, rows, **more: [r["output"][2:] for r in rows])
    make = lambda i, emotion, text: replace(UTTERANCE, id=i, emotion=emotion, text=text)  # noqa: E731
    clips = [make(i, "happy", "hello") for i in "abcde"] + [make("f", "sad", "hello"), make("g", "angry", "tea")]
    kept, rejected = continuations.sample_named(None, None, clips, temperature=1.0, draws=3, different=2, writer="llm")
    assert asked == [["a", "b", "f", "g"], ["a", "b", "g"], ["g"]]
    outputs = {row["id"]: row["output"] for row in kept}
    assert outputs == {"f": "f sad"} | {i: f"{'ab'[k % 2]} happy" for k, i in enumerate("abcde")}
    assert [(row["id"], row["reason"]) for row in rejected] == [("g", "emotion not named")]
    with pytest.raises(StudyError, match=r"none of the 1 continuations .* of stage2: emotion not named \(1\)"):
        continuations.sample_named(
            None, None, clips[-1:], "stage2", temperature=1.0, draws=1, different=1, writer="llm"
        )


def test_the_llm_names_the_emotion_of_sentence_and_target(monkeypatch):
    monkeypatch.setattr(continuations, "answer", lambda _, __, chats, **more: [Answer(c[1]["content"]) for c in chats])
    monkeypatch.setattr(prompts, "IDENTIFY", "")
    rows = [ROW | {"output": "so happy"}, ROW | {"output": ""}]
    assert continuations.named_emotions(torch.nn.Module(), None, rows) == ["happy", None]
