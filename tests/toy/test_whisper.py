"""The toy Whisper: its training data, and greedy decoding through transformers' generate."""

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

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
def test_generate_decodes_greedily_after_saving_and_loading(parts, speech):
    (model, extractor, tokenizer), expected = parts, []
    assert model.config.real_frames is True and model.generation_config.max_length == 64
    for one in speech[1]:
        mel = torch.from_numpy(log_mel(extractor, one.sound))[None]
        hidden = encode_speech(model.model.encoder, mel, torch.ones_like(mel[:, 0]))[0]
        hidden = BaseModelOutput(pad_to_window(hidden, model.config.max_source_positions))
        ids = torch.tensor([[model.config.decoder_start_token_id]])
        while ids[0, -1] != tokenizer.eos_token_id and ids.shape[1] < model.config.max_target_positions:
            best = model(encoder_outputs=hidden, decoder_input_ids=ids).logits[:, -1:].argmax(-1)
            ids = torch.cat([ids, best], dim=1)
        expected.append(tokenizer.decode(ids[0], skip_special_tokens=True).strip())
    assert transcribe(*parts, [one.sound for one in speech[1]]) == expected and len(set(expected)) > 1


def test_a_recording_has_its_tokens_and_a_word_and_a_phoneme_for_every_frame(parts, speech):
    (_, extractor, tokenizer), (lines, spoken) = parts, speech
    rows, inventory = whisper.encode_recordings(lines, spoken, extractor, tokenizer)
    for row, line in zip(rows, lines, strict=True):
        frames = -(-row["features"].shape[1] // 2)
        assert tokenizer.decode(row["labels"], skip_special_tokens=True).strip() == line.text
        assert len(row["words"]) == len(row["phonemes"]) == frames and row["words"][0] == row["labels"][0]
        assert 5 < len(row["phonemes"].unique()) <= len(inventory)
