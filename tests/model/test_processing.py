"""Chats with speech become ids and features."""

import numpy as np
import pytest
import soundfile
import torch
from fixtures import make_tokenizer
from tiny import CONVOLUTION, ask, make_extractor, make_processor, sound

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoProcessor


def same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_text_is_tokenised_as_without_speech(processor):
    plain, chat = make_tokenizer(), [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"}]
    before = plain("<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhear: ").input_ids
    after = plain(" now<|im_end|>\n<|im_start|>assistant\n").input_ids
    ids = processor.prompt_ids(ask("hear: ", sound(0.1), " now"), [3])
    assert ids == before + [processor.speech_token_id] * 3 + after
    batch = processor(chat)
    assert set(batch) == {"input_ids", "attention_mask"}
    assert batch["input_ids"][0].tolist() == plain.apply_chat_template(
        chat, add_generation_prompt=True, return_dict=False
    )


def test_several_clips_keep_their_order(processor):
    chat = [*ask(sound(1.0)), {"role": "assistant", "content": "ok"}, *ask("then ", sound(0.3), sound(2.0))[1:]]
    batch = processor([chat, ask(sound(0.5))])
    assert batch["feature_attention_mask"].sum(1).tolist() == [50, 15, 100, 25]
    lengths = [processor.speech_length(n) for n in (16000, 4800, 32000, 8000)]
    assert (batch["input_ids"] == processor.speech_token_id).sum().item() == sum(lengths)
    assert batch["input_ids"][1, 0] == processor.tokenizer.pad_token_id and batch["attention_mask"][1, 0] == 0


def test_it_has_the_interface_of_transformers(processor):
    chats = [ask("hear: ", sound(1.0), " now"), ask(sound(0.5, 1))]
    how = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    expected = processor(chats)
    same(processor.apply_chat_template(chats, **how), expected)
    same(processor.apply_chat_template(chats[0], **how), processor(chats[0]))
    texts = processor.apply_chat_template(chats, add_generation_prompt=True)
    assert texts[0].endswith("hear: <|speech|> now<|im_end|>\n<|im_start|>assistant\n")
    same(processor(text=texts, audio=[sound(1.0), sound(0.5, 1)], sampling_rate=16000, padding=True), expected)
    ids = processor.apply_chat_template(chats[0], tokenize=True, add_generation_prompt=True)
    assert ids == processor(chats[0])["input_ids"].tolist()
    same(processor(text=texts[1], audio=sound(0.5, 1)), processor(chats[1]))
    assert processor.batch_decode(processor(ask("abc"))["input_ids"])[0].endswith("<|im_start|>assistant\n")
    for make in (processor, processor.apply_chat_template):
        with pytest.raises(StudyError, match="sampling_rate: 8000 Hz, wanted is 16000 Hz"):
            make(chats, **({} if make is processor else how), sampling_rate=8000)
    with pytest.raises(StudyError, match="2 audio parts, but 1 clips"):
        processor(text=texts, audio=sound(1.0))


def test_audio_is_a_file_a_url_or_an_array(processor, tmp_path):
    values = (sound(1.0) * 32768).round().astype(np.int16)
    values[:2] = -(2**15), 2**15 - 1
    expected = processor.features([values.astype(np.float32) / 32768])
    soundfile.write(tmp_path / "a b.wav", values, 16000)
    uri = (tmp_path / "a b.wav").as_uri()
    for audio in (values, torch.from_numpy(values), str(tmp_path / "a b.wav"), tmp_path / "a b.wav", uri):
        same(processor.features([audio]), expected)
    for key in ("audio", "path", "url"):
        chat = [{"role": "user", "content": [{"type": "audio", key: uri}]}]
        same(processor(chat), processor([{"role": "user", "content": [{"type": "audio", "audio": values}]}]))
    rates = [processor.waveform({"array": audio, "sampling_rate": 8000}) for audio in (values, values / 32768)]
    assert rates[0].shape == (32000,) and np.allclose(*rates, atol=1e-4)
    soundfile.write(tmp_path / "b.flac", np.stack([sound(1.0), sound(1.0)], 1), 44100)
    assert processor.waveform(tmp_path / "b.flac").shape == (5805,)  # of 16000 samples at 44.1 kHz


def test_audio_that_would_be_misread_is_refused(processor, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "whole.wav", sound(1.0), 16000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:10000])
    for audio, message in [
        ("gone.wav", "gone.wav: there is no such sound file"),
        (tmp_path / "text.wav", "text.wav: not a sound file that can be read"),
        (tmp_path, "is a folder; wanted is a sound file"),
        ("", "audio: is empty; wanted is a sound file"),
        (tmp_path / "cut.wav", "cut off after 9956 of 32000 bytes of sound"),
        ("http://127.0.0.1:9/a.wav", "http://127.0.0.1:9/a.wav: cannot be fetched; check the address .*refused"),
        ({"array": sound(1.0)}, "a clip with array; wanted are array and sampling_rate"),
        (np.ones(16000, np.int32), "a clip of int32, wanted are floats within .-1, 1. or int16"),
        (np.full(16000, np.nan), "values up to nan, wanted are within"),
        (np.zeros((100, 2)), r"shape \(100, 2\), wanted is mono"),
        (sound(10.5), r"a clip of 10.50 s, wanted are 0.04 to 10 s"),
    ]:
        with pytest.raises(StudyError, match=message):
            processor.features([audio])


@pytest.mark.parametrize("real_frames", [True, False])
def test_the_features_of_a_clip_do_not_depend_on_the_batch(real_frames):
    processor, clips = make_processor(real_frames=real_frames), [sound(1.013), sound(2.5, 1)]
    together, alone = processor.features(clips), processor.features(clips[:1])
    frames = alone["input_features"].shape[2]
    assert torch.equal(together["input_features"][0, :, :frames], alone["input_features"][0])
    assert together["feature_attention_mask"][0].sum() == alone["feature_attention_mask"].sum()


def test_chats_that_cannot_be_a_prompt_are_refused(processor):
    for chat, message in [
        (ask("a <|speech|> b"), "stands for speech"),
        (ask(sound(1)), "1 audio parts, but 0 clips"),
        ([{"role": "user", "content": [{"type": "video", "video": 1}]}], "a part of type video"),
        ([{"role": "user", "content": [{"text": "a"}]}], "a part of type None, wanted is text or audio"),
        ([{"role": "user", "content": [{"type": "text"}]}], "a text part with None; wanted is its text"),
        ([{"role": "user", "content": None}], "a part of type None"),
        ([{"role": "user"}], "messages: .*; wanted is a list of {role, content}, one a turn"),
        ([], "messages: .*; wanted is a list of"),
    ]:
        with pytest.raises(StudyError, match=message):
            processor.prompt_ids(chat)
    tokenizer = make_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(StudyError, match="no chat template"):
        BlspEmoProcessor(make_extractor(), tokenizer)


def test_it_is_saved_and_loaded(tmp_path):
    processor, chat = make_processor({**CONVOLUTION, "kernel_sizes": (5, 5)}, real_frames=False), ask("a", sound(1.0))
    processor.save_pretrained(tmp_path)
    again = BlspEmoProcessor.from_pretrained(tmp_path)
    assert again.model_settings == {**processor.model_settings, "adapter": {**CONVOLUTION, "kernel_sizes": [5, 5]}}
    same(again(chat), processor(chat))
