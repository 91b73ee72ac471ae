"""The toy Whisper: its training data, and greedy decoding through transformers' generate."""

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from blsp_core.data.dataset import pad_features
from blsp_core.inference.asr import load_whisper, log_mel, pad_to_window, transcribe
from blsp_core.model.backbones import save
from blsp_core.model.encoder import encode_speech
from blsp_core.toy import whisper
from blsp_core.toy.tokenizer import build_tokenizer, spoken_texts


@pytest.fixture(scope="module")
def speech():
    return whisper.utterances("test", 6, 1)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A saved and loaded Whisper with random weights, its extractor and tokenizer."""
    torch.manual_seed(0)
    folder, tokenizer = tmp_path_factory.mktemp("whisper"), build_tokenizer(spoken_texts())
    model, extractor = whisper.build_whisper(tokenizer, 80, 32, 2, 2, 64), whisper.build_feature_extractor()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    model.model.decoder.embed_tokens.weight.data[tokenizer.eos_token_id] *= 4  # some transcripts end early
    save(folder, model, extractor, tokenizer)
    return load_whisper(folder)


@torch.no_grad()
def greedy(model, hidden) -> torch.Tensor:
    """Token by token from the padding token, until all rows have ended or the decoder's positions are used up."""
    ids = torch.full((len(hidden), 1), model.config.decoder_start_token_id)
    ended = torch.zeros(len(hidden), dtype=torch.bool)
    while not ended.all() and ids.shape[1] < model.config.max_target_positions:
        logits = model(encoder_outputs=BaseModelOutput(hidden), decoder_input_ids=ids).logits[:, -1]
        new = logits.argmax(-1).masked_fill(ended, model.config.pad_token_id)
        ended |= new == model.config.eos_token_id
        ids = torch.cat([ids, new[:, None]], dim=1)
    return ids


def test_generate_decodes_greedily_after_saving_and_loading(parts, speech):
    model, extractor, tokenizer = parts
    assert model.config.real_frames is True and model.generation_config.max_length == 64
    sounds = [one.sound for one in speech[1]]
    features, mask = pad_features([torch.from_numpy(log_mel(extractor, sound)) for sound in sounds])
    with torch.no_grad():
        hidden, mask = encode_speech(model.model.encoder, features, mask)
    hidden = pad_to_window(hidden * mask[..., None], model.config.max_source_positions)
    expected = tokenizer.batch_decode(greedy(model, hidden), skip_special_tokens=True)
    found = tokenizer.batch_decode(model.generate(encoder_outputs=BaseModelOutput(hidden)), skip_special_tokens=True)
    assert found == expected and len(set(found)) > 1
    assert transcribe(*parts, sounds) == [text.strip() for text in expected]


def test_a_recording_has_its_tokens_and_a_word_and_a_phoneme_for_every_frame(parts, speech):
    (_, extractor, tokenizer), (lines, spoken) = parts, speech
    rows, inventory = whisper.encode_recordings(lines, spoken, extractor, tokenizer)
    for row, line in zip(rows, lines, strict=True):
        frames = -(-row["features"].shape[1] // 2)
        assert tokenizer.decode(row["labels"], skip_special_tokens=True).strip() == line.text
        assert len(row["words"]) == len(row["phonemes"]) == frames
        assert row["words"][0] == row["labels"][0]
        assert 5 < len(row["phonemes"].unique()) <= len(inventory)
