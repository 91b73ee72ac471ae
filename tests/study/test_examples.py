"""From a continuation to a training example: the same response after speech and after the transcript."""

import pytest
import torch

from blsp_core.data import prompts
from blsp_core.data.dataset import Examples, collate, shared_prefix
from blsp_core.data.manifest import EMOTIONS
from blsp_core.errors import StudyError
from blsp_core.training import objectives


@pytest.fixture(scope="module")
def rows(corpus):
    answers = ["it was a sad moment.", "some time later they saw the dog again.", "yes", "everyone cheered"]
    return [
        {**vars(row), "instruction": prompts.CONTINUE, "output": answers[i % 4], "early_stop": i == 0}
        for i, row in enumerate(corpus[1])
    ]


@pytest.fixture
def data(rows, corpus, hearing_model):
    return Examples(rows, hearing_model[1], corpus[0], [(prompts.SYSTEM, prompts.CONTINUE)])


def learnt(ids, labels):
    return [i for i, label in zip(ids, labels, strict=True) if label != -100], [x for x in labels if x != -100]


def test_the_response_is_the_same_after_both_and_alone_is_learnt(data):
    for item in (data[i] for i in range(len(data))):
        spoken, written = (learnt(item[f"{side}_ids"], item[f"{side}_labels"]) for side in ("speech", "text"))
        assert spoken == written and spoken[0] == spoken[1]


def test_a_response_ends_its_turn_unless_the_limit_cut_it(data, rows):
    tokenizer = data.processor.tokenizer
    for item, row in zip((data[i] for i in range(len(data))), rows, strict=True):
        response = learnt(item["speech_ids"], item["speech_labels"])[0]
        assert (response[-1] == tokenizer.eos_token_id) is not row["early_stop"]
        assert tokenizer.decode(response, skip_special_tokens=True).strip() == row["output"]


def test_a_placeholder_stands_for_every_speech_embedding_and_the_teacher_reads_the_words(data, hearing_model, rows):
    model, processor = hearing_model
    batch = collate([data[i] for i in range(len(data))])
    _, mask = model.get_speech_embeddings(batch["input_features"], batch["feature_attention_mask"])
    assert (batch["speech_ids"] == processor.speech_token_id).sum(1).tolist() == mask.sum(1).tolist()
    assert not (batch["text_ids"] == processor.speech_token_id).any()
    assert all(row["text"] in processor.tokenizer.decode(data[i]["text_ids"]) for i, row in enumerate(rows))
    assert [EMOTIONS[label] for label in batch["emotion_labels"]] == [row["emotion"] for row in rows]


def test_lengths_say_how_long_the_speech_is(data):
    placeholder = data.processor.speech_token_id
    for index, length in enumerate(data.lengths()):
        assert abs(data[index]["speech_ids"].count(placeholder) - length) <= 1


def test_encoding_once_changes_no_loss(data, hearing_model, tmp_path):
    model, _ = hearing_model
    loss = objectives.SemanticAlignment(2.0)
    with torch.no_grad():
        live = loss(model, collate([data[0], data[3], data[5]]))["response_kl"]
        data.encode_once(model, tmp_path)
        kept = loss(model, collate([data[0], data[3], data[5]]))["response_kl"]
    assert live > 0 and torch.allclose(live, kept, rtol=2e-3)  # kept as float16


def test_rows_of_one_clip_share_its_sound_before_and_after_encoding(rows, corpus, hearing_model, tmp_path):
    asked = [row | {"system": prompts.SYSTEM, "instruction": i} for row in rows[:2] for i in ("a ", "b ")]
    data = Examples(asked, hearing_model[1], corpus[0])
    ids = data[0]["speech_ids"]
    assert data[0]["sound"] is data[1]["sound"] and data[0]["sound"] is not data[2]["sound"]
    data.encode_once(hearing_model[0], tmp_path)
    assert data[0]["sound"] is data[1]["sound"] and isinstance(data[0]["sound"], torch.Tensor)
    later = Examples(asked, hearing_model[1], corpus[0])
    later.encode_once(hearing_model[0], tmp_path)
    assert later[0]["speech_ids"] == ids  # counted from the encoder's frames


def test_a_row_can_bring_its_own_prompts(rows, corpus, hearing_model):
    data = Examples([rows[0] | {"system": "be brief", "instruction": "say it: "}], hearing_model[1], corpus[0])
    read = data.processor.tokenizer.decode(data[0]["text_ids"])
    assert "be brief" in read and "say it: " + rows[0]["text"] in read


def test_what_is_not_kept_is_the_same_the_next_time(rows, corpus, hearing_model):
    data = Examples(rows, hearing_model[1], corpus[0], [(prompts.SYSTEM, prompts.CONTINUE)], keep=False)
    first, again = data[1], data[1]
    assert not data.sounds and not data.written
    assert first["speech_ids"] == again["speech_ids"]
    assert torch.equal(first["sound"].features, again["sound"].features)


def test_a_disturbed_clip_is_another_every_time_and_what_is_kept_of_it_the_same(rows, corpus, hearing_model):
    manners = [(prompts.SYSTEM, prompts.CONTINUE)]
    data = Examples(rows, hearing_model[1], corpus[0], manners, keep=True, augment=True)
    first, second = (data[0]["sound"] for _ in range(2))
    kept = Examples(rows, hearing_model[1], corpus[0], manners)[0]["sound"]
    assert not torch.equal(first.features, second.features) and first.frames == second.frames == kept.frames
    assert torch.equal(data.sounds[rows[0]["audio"]].features, kept.features)


def test_a_clip_without_a_label_has_no_part_in_the_emotion_loss(rows, corpus, hearing_model):
    model, processor = hearing_model
    some = [rows[1], rows[2] | {"emotion": ""}]
    data = Examples(some, processor, corpus[0], [(prompts.SYSTEM, prompts.CONTINUE)])
    loss = objectives.EmotionAlignment(1.0)
    with torch.no_grad():
        both, alone = loss(model, collate([data[0], data[1]])), loss(model, collate([data[0]]))
        none = loss(model, collate([data[1]]))
    assert torch.allclose(both["emotion_ce"], alone["emotion_ce"], rtol=1e-4)
    assert both["share_emotion_right"] == alone["share_emotion_right"]
    assert none["emotion_ce"] == 0 and none["share_emotion_right"] == 0


def test_a_batch_weighs_every_response_token_the_same(data, hearing_model):
    model, _ = hearing_model
    loss = objectives.EmotionAlignment(1.0)
    with torch.no_grad():
        together = loss(model, collate([data[1], data[2]]))
        alone = [loss(model, collate([data[i]])) for i in (1, 2)]
    sizes = [sum(label != -100 for label in data[i]["speech_labels"]) for i in (1, 2)]
    mean = sum(n * one["response_ce"] for n, one in zip(sizes, alone, strict=True)) / sum(sizes)
    assert torch.allclose(together["response_ce"], mean, rtol=1e-4)
    assert 0 < together["share_padding"] < 1


def test_without_a_weight_there_is_no_emotion_loss(data, hearing_model):
    with torch.no_grad():
        without = objectives.EmotionAlignment(0)(hearing_model[0], collate([data[1]]))
        assert set(without) == {"response_ce", "share_padding"}
        assert "emotion_ce" in objectives.EmotionAlignment(1)(hearing_model[0], collate([data[1]]))


def test_nothing_to_train_on_is_an_error(corpus, hearing_model):
    with pytest.raises(StudyError, match="no continuation is left to train on; look at rejected.jsonl"):
        Examples([], hearing_model[1], corpus[0], [("", "")])


def test_rows_take_turns_with_the_wordings(rows, corpus, hearing_model):
    manners = prompts.manners(prompts.SYSTEM, prompts.CONTINUE_WORDINGS, mixed=True)
    mixed = Examples(rows, hearing_model[1], corpus[0], manners)
    assert prompts.manners(prompts.SYSTEM, prompts.CONTINUE_WORDINGS, mixed=False) == [manners[0]]
    for index, (system, instruction) in enumerate(manners[: len(rows)]):
        for side in ("speech_ids", "text_ids"):
            read = mixed.processor.tokenizer.decode(mixed[index][side])
            assert system in read and instruction.strip() in read


def test_rows_share_what_their_prompts_have_in_common_before_the_sound():
    ids = torch.tensor([[5, 6, 7, 9, 9, 1], [5, 6, 7, 9, 9, 2], [5, 6, 8, 9, 9, 3]])
    assert [shared_prefix(ids, longest) for longest in (1, 2, 4)] == [1, 2, 2]
    assert shared_prefix(ids[:2], 3) == 3 and shared_prefix(ids[:1], 3) == 3
