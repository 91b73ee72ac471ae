"""Any sound file comes in as 16 kHz mono, whole or in part."""

import numpy as np
import pytest
import soundfile

from blsp_core.model.audio import SAMPLE_RATE, load_audio, write_corpus


def tone(seconds: float, rate: int = SAMPLE_RATE, hertz: float = 440) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize(("channels", "kind"), [(1, "wav"), (2, "wav"), (2, "flac")])
def test_any_rate_and_number_of_channels_becomes_16_khz_mono(tmp_path, rate, channels, kind):
    soundfile.write(tmp_path / f"a.{kind}", np.stack([tone(0.5, rate)] * channels, axis=1), rate)
    loaded = load_audio(f"a.{kind}", tmp_path)
    assert loaded.dtype == np.float32 and loaded.ndim == 1 and abs(len(loaded) - 0.5 * SAMPLE_RATE) <= 1
    loudest = np.abs(np.fft.rfft(loaded)).argmax() * SAMPLE_RATE / len(loaded)
    assert abs(loudest - 440) < 4


def test_a_corpus_in_one_file_gives_each_sound_back(tmp_path):
    sounds = [tone(0.1, hertz=300), tone(0.25, hertz=500), tone(0.05, hertz=700)]
    pieces = write_corpus(tmp_path / "corpora" / "all.flac", sounds)
    for sound, piece in zip(sounds, pieces, strict=True):
        assert np.allclose(load_audio(piece, tmp_path / "corpora"), sound, atol=1e-4)
