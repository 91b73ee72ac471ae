"""Transcription with a Whisper, and its word error rates."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures import make_whisper
from transformers.modeling_outputs import BaseModelOutput

from blsp_core.errors import StudyError
from blsp_core.inference import asr
from blsp_core.inference.asr import load_whisper, transcribe
from blsp_core.model.audio import load_audio
from blsp_core.model.encoder import encode_speech

REAL = "BLSP_WHISPER"  # names the folder of a real Whisper
RAVDESS = "BLSP_RAVDESS"  # names the folder of the real corpus


@pytest.fixture(params=[False, True], ids=["whole window", "real frames"])
def whisper(backbones, request):
    whisper, extractor, tokenizer = load_whisper(backbones[0])
    whisper.config.real_frames = request.param
    return whisper, extractor, tokenizer


@pytest.fixture
def sounds(corpus):
    return [load_audio(row.audio, corpus[0]) for row in corpus[1]]


def test_transcripts_come_in_order_and_do_not_depend_on_the_batch(whisper, sounds):
    together = transcribe(*whisper, sounds, batch_size=8)
    assert together == transcribe(*whisper, sounds, 3) == [transcribe(*whisper, [sound])[0] for sound in sounds]
    assert len(set(together)) > 1


def test_decoding_is_greedy_up_to_the_end_token_or_the_length_of_the_decoder(whisper, sounds):
    model, extractor, tokenizer = whisper
    mel = torch.from_numpy(asr.log_mel(extractor, sounds[1]))[None]
    hidden = encode_speech(model.model.encoder, mel, torch.ones_like(mel[:, 0]))[0]
    window = extractor(sounds[1], sampling_rate=16_000, return_tensors="pt").input_features
    assert mel.shape[2] < window.shape[2]
    real = {"encoder_outputs": BaseModelOutput(asr.pad_to_window(hidden, model.config.max_source_positions))}
    inputs = real if model.config.real_frames else {"input_features": window}
    ids = torch.tensor([[model.config.decoder_start_token_id]])
    with torch.no_grad():
        while ids[0, -1] != tokenizer.eos_token_id and ids.shape[1] < model.config.max_target_positions:
            best = model(**inputs, decoder_input_ids=ids).logits[:, -1:].argmax(-1)
            ids = torch.cat([ids, best], dim=1)
    assert transcribe(*whisper, sounds[1:2]) == [tokenizer.decode(ids[0], skip_special_tokens=True).strip()]


def test_a_multilingual_checkpoint_alone_gets_language_and_task_of_every_clip(backbones, sounds):
    whisper, *parts = load_whisper(backbones[0])
    whisper.generation_config.is_multilingual = False
    assert transcribe(whisper, *parts, sounds[:1], language="en") == transcribe(whisper, *parts, sounds[:1])
    whisper.generation_config.is_multilingual = True
    whisper.generation_config.lang_to_id = {"<|en|>": 97, "<|de|>": 98}
    whisper.generation_config.task_to_id = {"transcribe": 99}
    starts = []
    decoder = whisper.model.decoder
    hook = decoder.register_forward_pre_hook(lambda _, a, k: starts.append(k["input_ids"].tolist()), with_kwargs=True)
    transcribe(whisper, *parts, sounds[:2], 2, ["de", "en"])
    order = sorted((0, 1), key=lambda i: len(sounds[i]))
    assert starts[0] == [[257, (98, 97)[i], 99] for i in order]
    languages = ["de", None, "en", "xx", ""]
    alone = [transcribe(whisper, *parts, [sound], 1, [one]) for sound, one in zip(sounds, languages, strict=False)]
    starts.clear()
    assert transcribe(whisper, *parts, sounds[:5], 5, languages) == sum(alone, [])
    assert [[257, 98, 99], [257, 97, 99]] in (starts[0], starts[0][::-1])  # the known languages, whatever the others
    hook.remove()


def test_an_encoder_alone_cannot_transcribe(tmp_path):
    make_whisper().model.encoder.save_pretrained(tmp_path)
    with pytest.raises(StudyError, match="encoder without a decoder; set whisper.source"):
        load_whisper(tmp_path)


def test_transcripts_are_written_for_every_turn_and_read_back_by_utterance(backbones, corpus, tmp_path):
    (folder, rows), whisper = corpus, load_whisper(backbones[0])
    path = asr.write_transcripts(tmp_path, rows, whisper, folder, 4)
    assert path.name == "acted.train.jsonl" and len(path.read_text().splitlines()) == len(rows)
    texts = transcribe(*whisper, [load_audio(row.audio, folder) for row in rows])
    assert asr.read_transcripts(tmp_path, rows[::-1]) == texts[::-1]
    with pytest.raises(StudyError, match="1 utterances are missing, the first is other"):
        asr.read_transcripts(tmp_path, [*rows, replace(rows[0], id="other")])


def test_word_errors_are_counted_without_case_and_punctuation_by_emotion(corpus):
    rows = [replace(row, text=text) for row, text in zip(corpus[1], ("It's late.", "Go home!", "", "so"), strict=False)]
    found = asr.word_errors(rows, ["its late", "go home", "noise", ""])
    rates = {"wer": 2 / 5, "exact": pytest.approx(1 / 3), "by_emotion": {"neutral": 0.5, "happy": 0, "angry": 1}}
    assert found == rates | {"n": 4, "empty": 1} and asr.word_errors(rows[2:3], [""])["wer"] is None


def test_a_high_error_rate_stops_the_study_in_english_only(corpus):
    rows = corpus[1][:2]
    with pytest.raises(StudyError, match=r"of acted: .* 1.00, 2 of 2 are empty, transcripts.max_wer is 0.5"):
        asr.check_word_errors("acted", rows, ["", ""], 0.5)
    asr.check_word_errors("acted", rows, [row.text for row in rows], 0.5)
    asr.check_word_errors("greek", [replace(row, language="el") for row in rows], ["", ""], 0.5)


@pytest.mark.skipif(not {REAL, RAVDESS} <= set(os.environ), reason=f"{REAL} and {RAVDESS} name real weights and clips")
def test_a_real_whisper_gives_the_right_sentences():
    whisper, folder = load_whisper(Path(os.environ[REAL])), Path(os.environ[RAVDESS])
    clips = sorted(folder.glob("Actor_0[78]/03-01-0[135]-01-0?-01-*.wav"))
    said = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}
    texts = transcribe(*whisper, [load_audio(clip) for clip in clips], 6, "en")
    right = [said[clip.stem.split("-")[4]] == text.lower().strip(" .") for clip, text in zip(clips, texts, strict=True)]
    assert len(right) == 12 and np.mean(right) >= 0.75
