"""Chats with speech become ids and features."""

import numpy as np
import pytest
import torch
from tiny import ask, make_encoder, make_llm, make_model, make_tokenizer, sound
from transformers import WhisperFeatureExtractor

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoProcessor
from blsp_core.model.adapters import subsampled_length
from blsp_core.model.processing import encoder_length, mel_length


def test_lengths_follow_from_the_number_of_samples():
    assert mel_length(54477, hop=160) == 340 and mel_length(54477, hop=160, real_frames=False) == 341
    assert encoder_length(341) == 171
    assert subsampled_length(encoder_length(mel_length(112000, 160)), (5, 5, 5)) == 44
    assert subsampled_length(encoder_length(mel_length(19200, 160, real_frames=False)), (5, 5, 5)) == 8


@pytest.mark.parametrize("hop, window, kernels", [(320, 640, (5, 5)), (160, 400, (5, 5, 5)), (160, 400, (3, 4))])
@pytest.mark.parametrize("real_frames", [True, False])
def test_placeholders_are_as_many_as_embeddings(hop, window, kernels, real_frames):
    extractor = WhisperFeatureExtractor(hop_length=hop, n_fft=window, chunk_length=4)
    processor = BlspEmoProcessor(extractor, make_tokenizer(), kernels, real_frames)
    encoder = make_encoder(seconds=4 if hop == 320 else 8)
    model = make_model(processor, encoder, make_llm())
    chats = [ask(sound(samples / 16000)) for samples in (1600, 5333, 16000, 16001, 16159, 16160, 64000)]
    batch = processor(chats)
    mask = model(**batch).speech_mask
    assert mask.sum(1).tolist() == (batch["input_ids"] == processor.speech_token_id).sum(1).tolist()


def test_text_around_speech_is_tokenised_as_ever(processor):
    plain = make_tokenizer()
    ids = processor.prompt_ids(ask("hear: ", sound(0.1), " now"), [3])
    before = plain("<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhear: ").input_ids
    after = plain(" now<|im_end|>\n<|im_start|>assistant\n").input_ids
    assert ids == before + [processor.speech_token_id] * 3 + after


def test_a_chat_without_speech_is_what_the_tokenizer_makes_of_it(processor):
    chat = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"}]
    expected = make_tokenizer().apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert processor.prompt_ids(chat) == expected
    batch = processor(chat)
    assert batch["input_ids"].tolist() == [expected] and set(batch) == {"input_ids", "attention_mask"}


def test_several_utterances_keep_their_order(processor):
    chat = [*ask(sound(1.0)), {"role": "assistant", "content": "ok"}, *ask("then ", sound(0.3), sound(2.0))[1:]]
    batch = processor([chat, ask(sound(0.5))])
    assert batch["feature_attention_mask"].sum(1).tolist() == [50, 15, 100, 25]
    lengths = [processor.speech_length(n) for n in (16000, 4800, 32000, 8000)]
    assert (batch["input_ids"] == processor.speech_token_id).sum().item() == sum(lengths)
    assert batch["input_ids"][1, 0] == processor.tokenizer.pad_token_id and batch["attention_mask"][1, 0] == 0


@pytest.mark.parametrize("real_frames", [True, False])
def test_a_clips_features_do_not_depend_on_the_batch(extractor, real_frames):
    processor = BlspEmoProcessor(extractor, make_tokenizer(), real_frames=real_frames)
    clips = [sound(1.013), sound(2.5, 1)]
    together = processor.features(clips)
    alone = processor.features(clips[:1])
    frames = alone["input_features"].shape[2]
    assert torch.equal(together["input_features"][0, :, :frames], alone["input_features"][0])
    assert together["feature_attention_mask"][0].sum() == alone["feature_attention_mask"].sum()


def test_clips_the_encoder_cannot_hear_are_refused(processor):
    with pytest.raises(StudyError, match=r"a clip of 10.50 s, wanted are 0.04 to 10 s"):
        processor.features([sound(10.5)])
    with pytest.raises(StudyError, match="a clip of 0.01 s"):
        processor.features([sound(0.01)])
    with pytest.raises(StudyError, match=r"shape \(100, 2\), wanted is mono"):
        processor.features([np.zeros((100, 2))])


def test_text_cannot_pretend_to_be_speech(processor):
    with pytest.raises(StudyError, match="stands for speech"):
        processor.prompt_ids(ask("a <|speech|> b"))
    with pytest.raises(StudyError, match="1 audio parts, but 0 speech lengths"):
        processor.prompt_ids(ask(sound(1)))
    with pytest.raises(StudyError, match="a part of type video"):
        processor.prompt_ids([{"role": "user", "content": [{"type": "video", "video": 1}]}])


def test_a_tokenizer_without_a_chat_template_is_refused(extractor):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(StudyError, match="no chat template"):
        BlspEmoProcessor(extractor, tokenizer)


def test_it_comes_back_from_its_folder(processor, tmp_path):
    processor.real_frames = False
    processor.save_pretrained(tmp_path)
    again = BlspEmoProcessor.from_pretrained(tmp_path)
    assert again.model_settings == processor.model_settings
    chat = ask("a", sound(1.0))
    assert again.prompt_ids(chat, [2]) == processor.prompt_ids(chat, [2])
    assert again.feature_extractor.hop_length == 320
