"""Speech emotion classifiers: their input, their training, the weights that are kept."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Utterance, write_manifest
from blsp_core.errors import StudyError
from blsp_core.model.audio import write_corpus
from blsp_core.training import ser_classifier as classifiers

SIZE = {
    "width": 16, "layers": 1, "heads": 2, "ffn": 16,
    "conv_widths": [8, 16], "conv_kernels": [64, 20], "conv_strides": [32, 20],
}  # fmt: skip
EVERY_ARCHITECTURE = pytest.mark.parametrize("architecture", classifiers.ARCHITECTURES)


def model_of(architecture: str = "wav2vec2"):
    torch.manual_seed(0)
    return classifiers.build(architecture, **SIZE).eval()


@pytest.fixture(scope="module")
def hums(tmp_path_factory):
    """A folder with hums of 0.3 to 0.6 s, the sad ones soft and the angry ones loud, and their utterances."""
    folder, rng, emotions = tmp_path_factory.mktemp("hums"), np.random.default_rng(0), ["sad", "angry"] * 12
    waves = [np.sin(rng.uniform(0.05, 0.1) * np.arange(rng.integers(4800, 9600))) for _ in emotions]
    sounds = [{"sad": 0.02, "angry": 0.4}[emotion] * wave for emotion, wave in zip(emotions, waves, strict=True)]
    slices = write_corpus(folder / "hums.flac", [sound.astype(np.float32) for sound in sounds])
    return folder, [
        Utterance(audio, "hm", emotion, f"hum-{i}", "voice", "en", len(sound) / 16_000, "hums", "train")
        for i, (audio, emotion, sound) in enumerate(zip(slices, emotions, sounds, strict=True))
    ]


def predict(model, utterances, root, batch_size):
    clips = classifiers.Clips(utterances, root)
    return classifiers.predict(model, classifiers.build_extractor(), clips, batch_size)


@EVERY_ARCHITECTURE
@torch.no_grad()
def test_the_model_gets_loudness_and_no_other_clips(architecture, hums):
    model, clips = model_of(architecture), classifiers.Clips(hums[1][:5], hums[0])

    def logits(items, normalise=False):
        extractor = classifiers.build_extractor()
        extractor.do_normalize = normalise
        batch = classifiers.collate(extractor, items)
        return model(batch["input_values"], attention_mask=batch["attention_mask"]).logits

    items = [clips[i] for i in range(5)]
    assert len({len(item["sound"]) for item in items}) == 5  # so that there is padding
    torch.testing.assert_close(logits(items), torch.cat([logits([item]) for item in items]), atol=1e-5, rtol=1e-5)
    louder = [{**items[0], "sound": 20 * items[0]["sound"]}]
    kept, removed = ((logits(items[:1], how) - logits(louder, how)).abs().max() for how in (False, True))
    assert kept > 100 * removed


@EVERY_ARCHITECTURE
def test_it_learns_from_loudness_and_predicts_the_same_in_order_when_it_is_loaded(architecture, hums, tmp_path):
    model, extractor, (root, utterances) = model_of(architecture), classifiers.build_extractor(), hums
    clips = classifiers.Clips(utterances, root, keep=True)
    settings = {"steps": 20, "batch_size": 8, "learning_rate": 5e-3, "validations": 4, "seed": 1}
    places = {"checkpoints": tmp_path / "unfinished", "log": tmp_path / "log.csv"}
    cost = classifiers.fit(model, extractor, clips, clips, **settings, **places)
    assert cost["scores"][cost["best"]] > 0.9 and cost["steps"] == 20
    for part in (model, extractor):
        part.save_pretrained(tmp_path / "model")
    named = classifiers.Classifier(tmp_path / "model", root, batch_size=5).emotions(utterances)
    assert named == predict(model, utterances, root, 24)
    assert np.mean([name == u.emotion for name, u in zip(named, utterances, strict=True)]) > 0.9


def test_a_front_with_a_norm_over_time_gets_one_clip_at_a_time(hums):
    model, seen = model_of(), []
    model.config.feat_extract_norm = "group"
    model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    predict(model, hums[1][:3], hums[0], 3)
    assert seen == [1, 1, 1]


def test_a_manifest_without_labels_is_an_error(hums, tmp_path):
    unlabelled = [replace(u, emotion="") for u in hums[1][3:]]
    write_manifest(tmp_path / "mixed.jsonl", [*hums[1][:3], *unlabelled])
    assert classifiers.labelled([tmp_path / "mixed.jsonl"]) == hums[1][:3]
    write_manifest(tmp_path / "none.jsonl", unlabelled)
    with pytest.raises(StudyError, match=r"none.jsonl: no utterance has an emotion"):
        classifiers.labelled([tmp_path / "none.jsonl"])


def begin(architecture, hub, train_front=True):
    settings = {"architecture": architecture, "hub": hub, "hub_revision": "main", "size": SIZE}
    return classifiers.begin(SimpleNamespace(**settings, train_front=train_front))


def test_a_pretrained_encoder_gets_a_new_head_and_its_own_extractor(tmp_path, monkeypatch):
    extractor = classifiers.build_extractor()
    extractor.do_normalize = True
    for part in (model_of("hubert").hubert, extractor):
        part.save_pretrained(tmp_path)
    model, found = begin("hubert", {"hubert": str(tmp_path)})
    name = "encoder.layer_norm.weight"
    assert torch.equal(model.hubert.state_dict()[name], load_file(tmp_path / "model.safetensors")[name])
    assert list(model.config.id2label.values()) == list(EMOTIONS) and found.do_normalize
    with pytest.raises(StudyError, match="is a hubert; name a wavlm there"):
        begin("wavlm", {"wavlm": str(tmp_path)})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StudyError, match=r"classifier.hub.wavlm: .*nothing-there.*it comes from"):
        begin("wavlm", {"wavlm": str(tmp_path / "nothing-there")})


def test_settings_choose_the_model_and_whether_its_front_is_trained():
    for train_front in True, False:
        model, extractor = begin("wavlm", {}, train_front)
        assert {p.requires_grad for p in model.base_model.feature_extractor.parameters()} == {train_front}
        assert model.classifier.weight.requires_grad and not extractor.do_normalize
    with pytest.raises(StudyError, match="'whisper' is none of wav2vec2, hubert, wavlm"):
        begin("whisper", {})
