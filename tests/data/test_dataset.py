"""From a row of targets to a training example: the same response after speech and after the transcript."""

import numpy as np
import pytest
import torch

from blsp_core.data import prompts
from blsp_core.data.augmentation import spec_augment
from blsp_core.data.dataset import SpeechTextDataset, collate, shared_prefix
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import JsonlRows, append_jsonl
from blsp_core.errors import StudyError


@pytest.fixture(scope="module")
def rows(corpus):
    answers = ["it was a sad moment.", "some time later they saw the dog again.", "yes", "everyone cheered"] * 2
    own = [{"instruction": prompts.CONTINUE, "output": text, "early_stop": text == "yes"} for text in answers]
    return [vars(row) | more for row, more in zip(corpus[1], own, strict=True)]


@pytest.fixture
def make(corpus, speech_model):
    return lambda rows, **settings: SpeechTextDataset(rows, speech_model[1], corpus[0], **settings)


def test_only_the_response_has_labels_and_it_ends_its_turn_unless_the_limit_cut_it(make, rows, speech_model):
    tokenizer = speech_model[1].tokenizer
    for item, row in zip(make(rows), rows, strict=True):
        for side in ("speech", "text"):
            response = [label for label in item[f"{side}_labels"] if label != -100]
            prompt = len(item[f"{side}_ids"]) - len(response)
            assert item[f"{side}_ids"][prompt:] == response and item[f"{side}_labels"][:prompt] == [-100] * prompt
            assert (response[-1] == tokenizer.eos_token_id) is not row["early_stop"]
            assert tokenizer.decode(response, skip_special_tokens=True).strip() == row["output"]


def test_speech_embeddings_have_placeholders_and_the_teacher_reads_the_transcript(make, rows, speech_model):
    (model, processor), data = speech_model, make(rows)
    batch = collate(list(data))
    _, mask = model.get_speech_embeddings(batch["input_features"], batch["feature_attention_mask"])
    places = (batch["speech_ids"] == processor.speech_token_id).sum(1)
    assert places.tolist() == mask.sum(1).tolist() and (places - torch.tensor(data.lengths())).abs().max() <= 1
    assert not (batch["text_ids"] == processor.speech_token_id).any()
    assert all(row["text"] in processor.tokenizer.decode(data[i]["text_ids"]) for i, row in enumerate(rows))
    assert [EMOTIONS[label] for label in batch["emotion_labels"]] == [row["emotion"] for row in rows]


def test_a_row_can_bring_its_own_system_prompt_and_need_no_label(make, rows, speech_model):
    item = make([rows[0] | {"system": "be brief", "instruction": "say it: ", "emotion": ""}])[0]
    read = speech_model[1].tokenizer.decode(item["text_ids"])
    assert "be brief" in read and "say it: " + rows[0]["text"] in read and item["emotion"] == -100


def test_rows_of_one_clip_share_its_sound_before_and_after_encoding(make, rows, speech_model):
    pairs = [row | {"instruction": i} for row in rows[:2] for i in ("a ", "b ")]
    data = make(pairs)
    ids, sound = data[0]["speech_ids"], data[0]["sound"]
    assert data[1]["sound"] is sound and data[2]["sound"] is not sound
    data.encode_once(speech_model[0])
    states = data[0]["sound"]
    assert data[1]["sound"] is states
    wanted, _ = speech_model[0].encode(sound.features[None])
    assert torch.allclose(states.float(), wanted[0], atol=1e-2)  # kept as float16
    later = make(pairs)
    later.encode_once(speech_model[0])
    assert later[0]["speech_ids"] == ids  # counted from the encoder's frames
    mask = collate([later[0], later[2]])["encoder_attention_mask"]
    assert mask.sum(1).tolist() == [len(later[i]["sound"]) for i in (0, 2)]


def test_nothing_stays_in_memory_without_keep_and_spec_augment_differs_in_every_epoch(make, rows):
    data, augmented = make(rows, keep=False), make(rows, augment={"seed": 1})
    first, again, *masked = data[1], data[1], augmented[1]["sound"], augmented[1 + len(rows)]["sound"]
    assert torch.equal(augmented[1]["sound"].features, masked[0].features)  # whatever was drawn in between
    assert not torch.equal(make(rows, augment={"seed": 2})[1]["sound"].features, masked[0].features)
    assert not data.sounds and not data.tokens and first["speech_ids"] == again["speech_ids"]
    assert torch.equal(first["sound"].features, again["sound"].features)
    assert not torch.equal(masked[0].features, masked[1].features)
    assert torch.equal(augmented.sounds[rows[1]["audio"]].features, first["sound"].features)  # stored as it is
    assert {sound.frames for sound in masked} == {first["sound"].frames}


def test_rows_may_stay_in_their_file_and_are_read_and_tokenised_when_their_item_is_asked_for(make, rows, tmp_path):
    path = tmp_path / "rows.jsonl"
    append_jsonl(path, rows)
    data, wanted = make(JsonlRows(path), keep=False), make(rows)
    assert data.lengths() == wanted.lengths()
    for one, other in zip(data, wanted, strict=True):
        assert one["speech_ids"] == other["speech_ids"] and one["text_labels"] == other["text_labels"]
    with open(path, "a") as file:
        file.write("{broken\n")
    data = make(JsonlRows(path), keep=False)
    assert len(data) == 9 and data[7]["id"] == rows[7]["id"]
    with pytest.raises(StudyError, match="rows.jsonl, line 9: not a JSON object"):
        data[8]


def test_nothing_to_train_on_is_an_error(make, tmp_path):
    (tmp_path / "empty.jsonl").touch()
    for nothing in ([], JsonlRows(tmp_path / "empty.jsonl")):
        with pytest.raises(StudyError, match="no continuation is left to train on"):
            make(nothing)


def test_the_shared_prefix_is_what_all_rows_have_in_common():
    ids = torch.tensor([[5, 6, 7, 9, 9, 1], [5, 6, 7, 9, 9, 2], [5, 6, 8, 9, 9, 3]])
    assert [shared_prefix(ids, longest) for longest in (1, 2, 4)] == [1, 2, 2] and shared_prefix(ids[:2], 3) == 3


def test_augmentation_shifts_the_level_by_decibels_and_adds_noise_at_a_ratio():
    clean = torch.full((80, 50), 0.5)
    clean[:, 25:] = 1.0
    plain, louder = (spec_augment(clean.clone(), np.random.default_rng(5), level, masks=0) for level in (0, 20))
    assert torch.equal(plain, clean) and (louder - plain).std() < 1e-6 and 0 < (louder - plain).abs().max() <= 0.5
    found = [spec_augment(clean.clone(), np.random.default_rng(n), 0, (10, 10), masks=0) for n in range(8)]
    assert sum(torch.equal(one, clean) for one in found) in range(1, 8)
    noisy = next(one for one in found if not torch.equal(one, clean))
    power = [10 ** (4 * one - 4) for one in (clean, noisy)]
    assert 10 * torch.log10(power[0].mean() / (power[1] - power[0]).mean()) == pytest.approx(10, abs=0.3)


def test_a_narrow_band_is_masked_from_both_ends_every_second_time():
    sound = 1 + torch.rand(80, 50, generator=torch.Generator().manual_seed(1))
    counts = []
    for seed in range(40):
        found = spec_augment(sound.clone(), np.random.default_rng(seed), level=0, band=True, masks=0)
        masked = (found == found.min()).all(dim=1)
        kept = (~masked).nonzero().flatten()
        assert not masked[kept[0] : kept[-1] + 1].any() and kept[0] < 10 and 79 - kept[-1] < 32
        counts.append(int(masked.sum()))
    assert 10 <= sum(count > 0 for count in counts) <= 30 and max(counts) > 20
