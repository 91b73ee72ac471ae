"""Greedy replies of an LLM in batches."""

import pytest
from fixtures import make_llm, make_tokenizer

from blsp_core.data import progress as showing
from blsp_core.data.manifest import read_jsonl
from blsp_core.data.progress import progress
from blsp_core.data.prompts import chat
from blsp_core.inference.batches import run_in_batches
from blsp_core.inference.llm import answer


@pytest.fixture(scope="module")
def llm():
    return make_llm(), make_tokenizer()


CHATS = [chat("be kind", "word " * count + "end") for count in (1, 9, 3, 5, 2)]


def test_batches_are_of_like_length_and_results_in_the_order_of_the_inputs():
    seen, lengths = [], [5, 1, 4, 2, 3]
    results = run_in_batches(lambda batch: [seen.append([lengths[i] for i in batch])] + batch[1:], lengths, 2)
    assert seen == [[1, 2], [3, 4], [5]] and results == [None, None, 2, 3, None]
    assert run_in_batches(lambda batch: batch, [], 2) == []


def test_a_reply_does_not_depend_on_its_batch(llm):
    together = answer(*llm, CHATS, max_new_tokens=6, batch_size=5)
    assert together == [answer(*llm, [one], 6, 1)[0] for one in CHATS] == answer(*llm, CHATS, 6, 2)
    assert len({reply.text for reply in together}) > 1


def test_equal_chats_are_answered_once_and_after_a_kill_only_those_missing(llm, tmp_path, monkeypatch):
    path, generate, calls = tmp_path / "replies.jsonl", llm[0].generate, []
    twice = CHATS + CHATS[:2]

    def killed(**inputs):
        calls.append(len(inputs["input_ids"]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return generate(**inputs)

    monkeypatch.setattr(llm[0], "generate", killed)
    with pytest.raises(KeyboardInterrupt):
        answer(*llm, twice, 6, 2, path)
    path.write_bytes(path.read_bytes() + b'{"key": "broken')
    found = answer(*llm, twice, 6, 2, path)
    assert calls == [2, 2, 2, 1] and found[5:] == found[:2]
    keys = [row["key"] for row in read_jsonl(path)]
    assert len(keys) == len(set(keys)) == len(CHATS) and found[:5] == answer(*llm, CHATS, 6, 5)


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
