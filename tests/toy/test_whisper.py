"""The toy Whisper: its training data, and that it is loaded as it was saved."""

import pytest
import torch

from blsp_core.inference.asr import load_whisper, transcribe
from blsp_core.model.backbones import save
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


def test_it_decodes_after_saving_and_loading(parts, speech):
    """Greedily, as every Whisper: see tests/inference/test_asr.py."""
    model = parts[0]
    assert model.config.real_frames is True and model.generation_config.max_length == 64
    assert len(set(transcribe(*parts, [one.sound for one in speech[1]]))) > 1


def test_a_recording_has_its_tokens_and_a_word_and_a_phoneme_for_every_frame(parts, speech):
    (_, extractor, tokenizer), (lines, spoken) = parts, speech
    rows, inventory = whisper.encode_recordings(lines, spoken, extractor, tokenizer)
    for row, line in zip(rows, lines, strict=True):
        frames = -(-row["features"].shape[1] // 2)
        assert tokenizer.decode(row["labels"], skip_special_tokens=True).strip() == line.text
        assert len(row["words"]) == len(row["phonemes"]) == frames and row["words"][0] == row["labels"][0]
        assert 5 < len(row["phonemes"].unique()) <= len(inventory)
