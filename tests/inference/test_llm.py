"""Greedy replies of an LLM in batches."""

import pytest
from fixtures import CHATML, make_llm, make_tokenizer
from transformers import WhisperFeatureExtractor

from blsp_core.data import progress as showing
from blsp_core.data.progress import progress
from blsp_core.data.prompts import chat
from blsp_core.errors import StudyError
from blsp_core.inference import llm as inference
from blsp_core.inference.llm import answer
from blsp_core.model import BlspEmoProcessor
from blsp_core.model.templates import render, turn_end


@pytest.fixture(scope="module")
def llm():
    return make_llm(), make_tokenizer()


CHATS = [chat("be kind", "word " * count + "end") for count in (1, 9, 3, 5, 2)]


def test_a_reply_does_not_depend_on_its_batch(llm):
    together = answer(*llm, CHATS, max_new_tokens=6, batch_size=5)
    assert together == [answer(*llm, [one], 6, 1)[0] for one in CHATS] == answer(*llm, CHATS, 6, 2)
    assert len({reply.text for reply in together}) > 1


def test_equal_chats_are_answered_once(llm, monkeypatch):
    sizes, greedy = [], inference.greedy
    monkeypatch.setattr(
        inference, "greedy", lambda model, ids, *more: sizes.append(len(ids["input_ids"])) or greedy(model, ids, *more)
    )
    found = answer(*llm, CHATS + CHATS[:2], 6, 2)
    assert sizes == [2, 2, 1] and found[5:] == found[:2] and found[:5] == answer(*llm, CHATS, 6, 5)


def test_sampled_replies_are_those_of_their_seed_also_after_a_kill_and_equal_chats_get_one_each(llm, tmp_path):
    sample = lambda seed, **more: answer(*llm, [CHATS[0]] * 6, 6, 2, temperature=1.0, seed=seed, **more)  # noqa: E731
    found, file = sample(1), tmp_path / "unfinished.jsonl"
    assert len({one.text for one in found}) > 2 and found == sample(1) != sample(2)
    assert sample(1, unfinished=file) == found
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))
    assert sample(1, unfinished=file) == found
    assert answer(*llm, CHATS, 6, 5, temperature=1e-4) == answer(*llm, CHATS, 6, 5)


def written(tokenizer, chat) -> str:
    """The text of a chat for the LLM, which is also that of the processor: teacher and student read one prompt."""
    text = render(tokenizer, chat, add_generation_prompt=True)
    ids = BlspEmoProcessor(WhisperFeatureExtractor(), tokenizer).prompt_ids(chat)
    assert ids == tokenizer(text, add_special_tokens=False).input_ids
    return text


TEMPLATES = {
    "rejects": "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML,
    "ignores": CHATML.replace("in messages %}", "in messages if message['role'] != 'system' %}"),
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_without_a_system_role_the_system_prompt_stands_before_the_users_first_turn(llm, template):
    tokenizer, turns = make_tokenizer(), [*CHATS[0], {"role": "assistant", "content": "a"}, *CHATS[1][1:]]
    whole = written(tokenizer, turns)
    assert whole == tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    tokenizer.chat_template = template
    first = "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\n"
    assert first in whole and written(tokenizer, turns) == whole.replace(first, "<|im_start|>user\nbe kind\n\n")
    assert written(tokenizer, turns[1:]) == whole.replace(first, "<|im_start|>user\n")
    assert len(answer(llm[0], tokenizer, CHATS, 2, 5)) == 5


def test_targets_end_with_the_token_that_ends_a_turn_in_the_template():
    tokenizer = make_tokenizer()
    assert turn_end(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>")
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "<|im_start|>")  # as Gemma's <end_of_turn>
    assert turn_end(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_start|>") != tokenizer.eos_token_id
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    assert turn_end(tokenizer) == tokenizer.eos_token_id


def test_an_llm_that_reasons_first_is_asked_for_the_reply_at_once():
    tokenizer = make_tokenizer()
    off = "enable_thinking is defined and not enable_thinking"
    tokenizer.chat_template += f"{{% if {off} %}}{{{{ '<think></think>' }}}}{{% endif %}}"
    assert written(tokenizer, CHATS[0]).endswith("assistant\n<think></think>")


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (None, "has no chat template; use a chat LLM"),
        ("{{ raise_exception('never') }}", r"fails \(never\); use another"),
    ],
)
def test_a_template_that_is_missing_or_fails_is_one_sentence_before_anything_is_generated(llm, template, sentence):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(StudyError, match=sentence):
        answer(None, tokenizer, CHATS, 6, 2)


def test_a_reply_ends_at_any_end_token_of_the_model_or_its_tokenizer(llm):
    (_, tokenizer), free = llm, answer(*llm, CHATS[:1], 6, 1)[0]
    model, prompt = make_llm(), tokenizer.apply_chat_template(CHATS[0], add_generation_prompt=True, return_tensors="pt")
    third = int(model.generate(**prompt, do_sample=False, max_new_tokens=3)[0, -1])
    for own, end in (([third, 257], "<|im_end|>"), ([257], tokenizer.convert_ids_to_tokens(third))):
        model.generation_config.eos_token_id, other = own, make_tokenizer()
        other.eos_token = end
        (short,) = answer(model, other, CHATS[:1], 6, 1)
        assert short.early_stop is False and free.text.startswith(short.text) and short.text != free.text
    assert free.early_stop is True


def test_penalties_and_sampling_of_the_model_s_generation_settings_have_no_effect(llm):
    model = make_llm()
    model.generation_config.update(do_sample=True, temperature=5.0, repetition_penalty=9.0, no_repeat_ngram_size=1)
    assert answer(model, llm[1], CHATS, 12, 5) == answer(*llm, CHATS, 12, 5)


def test_in_the_pipeline_progress_is_a_line_of_text_every_few_seconds(monkeypatch, capsys):
    times = iter([0.0, 4.0, 11.0, 12.0, 30.0])
    monkeypatch.setattr(showing.time, "monotonic", lambda: next(times))
    assert list(progress([1, 2, 3, 4], "replies")) == [1, 2, 3, 4]
    assert capsys.readouterr().out.splitlines() == ["replies: step 2 of 4, 11 s left", "replies: step 4 of 4, 0 s left"]


def test_a_name_on_the_hub_is_recorded_with_its_commit_and_a_folder_is_not(tmp_path, monkeypatch):
    asked = []

    def snapshot(name, revision, allow_patterns):
        asked.append((name, revision))
        return f"/cache/{name}/snapshots/abc123"

    monkeypatch.setattr(inference, "snapshot_download", snapshot)
    assert inference.pinned("a/b") == inference.pinned("a/b@v1") == "a/b@abc123"
    assert asked == [("a/b", None), ("a/b", "v1")]
    assert inference.pinned(str(tmp_path)) == str(tmp_path)
    with pytest.raises(StudyError, match="nothing: no chat LLM can be read there"):
        inference.load(tmp_path / "nothing")
