"""Backbones from elsewhere, and the floors below which the study stops."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, WhisperFeatureExtractor

from blsp_core.errors import StudyError
from blsp_core.inference.asr import load_whisper, source_of_words, transcribe
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model import backbones as foundation
from blsp_core.model.checkpoint import load_encoder
from blsp_core.toy import checks as examination
from blsp_core.toy import whisper as foundation_asr

REAL = "BLSP_WHISPER"  # names the folder of a real Whisper, or of its encoder, where there is one


def bring(name, part, tmp_path):
    return foundation.resolve(str(name), "main", part, tmp_path / "here", tmp_path / "log.csv")


def test_a_folder_is_copied_and_can_be_loaded(backbones, tmp_path):
    assert bring(backbones[1], "llm", tmp_path) == {"name": str(backbones[1]), "revision": "main"}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "here").config.model_type == "qwen2"
    assert (tmp_path / "log.csv").read_text() == "step,loss\n"


def test_what_a_folder_lacks_is_named(backbones, tmp_path):
    with pytest.raises(StudyError, match="holds no preprocessor_config.json; a complete folder of the encoder"):
        bring(backbones[1], "encoder", tmp_path)


@pytest.fixture
def encoder_only(backbones, tmp_path):
    """A folder as the encoder of a Whisper is published alone: half precision, no tokenizer, names as on the hub."""
    folder = tmp_path / "encoder"
    foundation.resolve(str(backbones[0]), "main", "encoder", folder, tmp_path / "log.csv")
    for path in folder.iterdir():
        if path.name not in ("config.json", "preprocessor_config.json", "model.safetensors"):
            path.unlink()
    whole = load_file(folder / "model.safetensors")
    keep = {name: value.half() for name, value in whole.items() if name.startswith("model.encoder.")}
    save_file(keep, folder / "model.safetensors")
    return folder


def change(folder, change_weights=None, file="config.json", **settings):
    """Other weights, or other settings in one of the JSON files."""
    if change_weights:
        weights = change_weights(load_file(folder / "model.safetensors"))
        save_file(weights, folder / "model.safetensors")
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_words_are_heard_or_taken_from_the_manifest(encoder_only, backbones, corpus):
    root, spoken = corpus
    assert source_of_words("manifest", encoder_only, root)(spoken) == [utterance.text for utterance in spoken]
    heard = source_of_words("heard", backbones[0], root)(spoken[:2])
    assert len(heard) == 2 and heard != [utterance.text for utterance in spoken[:2]]  # by a Whisper that knows nothing
    with pytest.raises(StudyError, match="has an encoder only.* set transcripts.source to manifest"):
        source_of_words("heard", encoder_only, root)
    with pytest.raises(StudyError, match="transcripts.source: 'guess' is unknown; wanted is heard or manifest"):
        source_of_words("guess", encoder_only, root)


def test_words_come_in_the_order_of_the_sounds(backbones):
    sounds = [voice.sound for voice in foundation_asr.utterances("validation", 5, 1)[1]]
    whisper, extractor, tokenizer = load_whisper(backbones[0])
    torch.manual_seed(0)
    for weight in whisper.parameters():  # so that it says something, and to everyone something else
        torch.nn.init.normal_(weight, std=0.5)
    alone = [transcribe(whisper, extractor, tokenizer, [sound])[0] for sound in sounds]
    assert len(set(alone)) > 1
    assert transcribe(whisper, extractor, tokenizer, sounds, batch_size=2) == alone


def test_an_encoder_without_decoder_and_tokenizer_serves(encoder_only, backbones, tmp_path):
    bring(encoder_only, "encoder", tmp_path)
    assert foundation.has_decoder(backbones[0]) and not foundation.has_decoder(tmp_path / "here")
    processor = BlspEmoProcessor.from_parts(tmp_path / "here", backbones[1])
    model = BlspEmoForConditionalGeneration.from_parts(tmp_path / "here", backbones[1], processor, adapter_inner_dim=8)
    whole = load_encoder(str(backbones[0])).state_dict()
    for name, value in model.encoder.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, whole[name].half().float())


def test_missing_weights_are_counted(encoder_only, tmp_path):
    change(encoder_only, lambda weights: {n: w for n, w in weights.items() if ".layers.1." not in n})
    with pytest.raises(
        StudyError, match=r"22 of the 37 weights of the speech encoder are there, .* is layers.1.self_attn"
    ):
        bring(encoder_only, "encoder", tmp_path)
    assert not (tmp_path / "here").exists()
    (encoder_only / "model.safetensors").unlink()
    with pytest.raises(StudyError, match=r"holds no \*.safetensors"):
        bring(encoder_only, "encoder", tmp_path)


def test_weights_of_another_size_than_the_config_gives_are_counted(encoder_only, tmp_path):
    change(encoder_only, encoder_ffn_dim=48)
    with pytest.raises(
        StudyError, match=r"6 of the 37 .* first is layers.0.fc1.weight: \(64, 32\), wanted is \(48, 32\)"
    ):
        bring(encoder_only, "encoder", tmp_path)


def test_a_damaged_file_of_weights_is_named(encoder_only, tmp_path):
    path = encoder_only / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StudyError, match="model.safetensors: cannot be read .* fetch it again"):
        bring(encoder_only, "encoder", tmp_path)


def test_a_feature_extractor_of_another_whisper_is_noticed(encoder_only, tmp_path):
    change(encoder_only, file="preprocessor_config.json", feature_size=128)
    with pytest.raises(
        StudyError, match="makes 128 mel bands and 375 frames, the encoder of config.json hears 80 and 375"
    ):
        bring(encoder_only, "encoder", tmp_path)


def test_what_is_no_whisper_is_no_encoder(backbones, encoder_only, tmp_path):
    (encoder_only / "config.json").write_text((backbones[1] / "config.json").read_text())
    with pytest.raises(StudyError, match="model_type is qwen2, wanted is a Whisper"):
        bring(encoder_only, "encoder", tmp_path)


@pytest.mark.skipif(REAL not in os.environ, reason=f"a real Whisper is tried where {REAL} names its folder")
def test_a_real_whisper_hears_for_the_miniature_s_llm(backbones, tmp_path):
    bring(os.environ[REAL], "encoder", tmp_path)
    processor = BlspEmoProcessor.from_parts(tmp_path / "here", backbones[1])
    model = BlspEmoForConditionalGeneration.from_parts(tmp_path / "here", backbones[1], processor, adapter_inner_dim=8)
    sounds = [torch.randn(samples).numpy() * 0.1 for samples in (16_000, 40_000)]
    batch = processor.features(sounds)
    together, mask = model.encode(**batch)
    alone, _ = model.encode(**processor.features(sounds[:1]))
    assert mask.sum(1).tolist() == [50, 125]
    torch.testing.assert_close(together[0, :50], alone[0], atol=1e-4, rtol=1e-4)
    extractor = WhisperFeatureExtractor.from_pretrained(tmp_path / "here")
    padded = extractor(sounds[1], sampling_rate=16_000, return_tensors="pt").input_features
    model.config.real_frames = False
    ours, _ = model.encode(padded, (torch.arange(3000) < 250)[None])
    theirs = model.encoder(padded).last_hidden_state[:, :125]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_had_is_named_with_source_and_licence(tmp_path):
    with pytest.raises(StudyError) as error:
        bring("openai/whisper-large-v2", "encoder", tmp_path)
    for words in (
        "foundation.encoder: openai/whisper-large-v2",
        "https://huggingface.co/openai/whisper-large-v2",
        "licence: Apache-2.0",
        "put its folder anywhere and name that folder",
    ):
        assert words in str(error.value)
    assert not (tmp_path / "here").exists()


def test_a_qwen_of_the_first_generation_has_to_be_converted(backbones, tmp_path):
    bring(backbones[1], "llm", tmp_path)
    config = tmp_path / "here/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "qwen"}))
    with pytest.raises(StudyError, match="run `blsp-convert"):
        foundation.resolve(str(tmp_path / "here"), "main", "llm", tmp_path / "there", tmp_path / "log.csv")


EXAM = {"continue": {"n": 9, "object": 1.0, "tone": 0.9}, "identify": {"n": 9, "tone": 0.7}, "repeat": {"exact": 0.1}}


def test_the_worst_instruction_counts():
    assert foundation.check_llm(EXAM, 0.99, 0.6) == {"object": 1.0, "tone": 0.7}


def test_below_a_floor_the_study_stops():
    with pytest.raises(StudyError, match="right tone in 0.700 of its answers to the instruction 'identify'"):
        foundation.check_llm(EXAM, 0.99, 0.8)
    with pytest.raises(StudyError, match="word error rate is 0.300, foundation.asr_wer_ceiling is 0.1"):
        foundation.check_asr(0.3, 0.1)
    foundation.check_asr(0.1, 0.1)


def test_words_are_counted_tone_by_tone():
    said, heard = ["we saw the dog", "they met", "go home"], ["we saw a dog", "they met", "go home now"]
    found = examination.examine_words(said, heard, {"tone": ["sad", "sad", "happy"]})
    assert found["by_tone"] == {"happy": pytest.approx(1 / 2), "sad": pytest.approx(1 / 6)}
    assert found["wer"] == pytest.approx(2 / 8) and found["exact"] == pytest.approx(1 / 3) and found["n"] == 3
