"""Speech emotion classifiers: their input, their training, the weights that are kept."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from blsp_core.data.audio import write_corpus
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Utterance, write_manifest
from blsp_core.errors import StudyError
from blsp_core.training import ser_classifier as classifiers

SIZE = {"width": 16, "layers": 1, "heads": 2, "ffn": 16}
FRONT = {"conv_widths": [8, 16], "conv_kernels": [64, 20], "conv_strides": [32, 20]}


def model_of(architecture: str = "wav2vec2", **changed):
    torch.manual_seed(0)
    return classifiers.build(architecture, **SIZE, **FRONT | changed).eval()


def batch_of(items: list[dict], normalise: bool = False) -> dict:
    extractor = classifiers.build_extractor()
    extractor.do_normalize = normalise
    return classifiers.collate(extractor, items)


def predict(model, utterances, root, batch_size=4):
    clips = classifiers.Clips(utterances, root)
    return classifiers.predict(model, classifiers.build_extractor(), clips, batch_size)


@pytest.fixture(scope="module")
def hums(tmp_path_factory):
    """A folder with hums of 0.3 to 0.6 s, the sad ones soft and the angry ones loud, and their utterances."""
    folder, rng = tmp_path_factory.mktemp("hums"), np.random.default_rng(0)
    emotions = ["sad", "angry"] * 12
    sounds = [
        (0.02 if emotion == "sad" else 0.4) * np.sin(rng.uniform(0.05, 0.1) * np.arange(rng.integers(4800, 9600)))
        for emotion in emotions
    ]
    slices = write_corpus(folder / "hums.flac", [sound.astype(np.float32) for sound in sounds])
    return folder, [
        Utterance(audio, "hm", emotion, f"hum-{i}", "voice", "en", len(sound) / 16_000, "hums", "train")
        for i, (audio, emotion, sound) in enumerate(zip(slices, emotions, sounds, strict=True))
    ]


def fit(hums, folder, model, **changed):
    clips = classifiers.Clips(hums[1], hums[0], keep=True)
    settings = {"steps": 20, "batch_size": 8, "learning_rate": 5e-3, "validations": 4, "seed": 1} | changed
    places = {"checkpoints": folder / "unfinished", "log": folder / "log.csv"}
    return classifiers.fit(model, classifiers.build_extractor(), clips, clips, **settings, **places)


@pytest.mark.parametrize("architecture", classifiers.ARCHITECTURES)
def test_a_prediction_does_not_depend_on_the_other_clips(architecture, hums):
    model = model_of(architecture)
    clips = classifiers.Clips(hums[1][:5], hums[0])
    together, alone = batch_of([clips[i] for i in range(5)]), [batch_of([clips[i]]) for i in range(5)]
    assert len({batch["input_values"].shape[1] for batch in alone}) == 5  # so that there is padding
    with torch.no_grad():
        one = model(together["input_values"], attention_mask=together["attention_mask"]).logits
        many = [model(batch["input_values"], attention_mask=batch["attention_mask"]).logits for batch in alone]
    torch.testing.assert_close(one, torch.cat(many), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", classifiers.ARCHITECTURES)
def test_the_model_gets_loudness_which_a_normalising_extractor_removes(architecture, hums):
    model, sound = model_of(architecture), classifiers.Clips(hums[1], hums[0])[0]["sound"]

    def moved(normalise: bool) -> float:
        batches = [batch_of([{"sound": gain * sound, "label": 0, "id": "a"}], normalise) for gain in (1, 20)]
        with torch.no_grad():
            soft, loud = (model(batch["input_values"]).logits for batch in batches)
        return (soft - loud).abs().max().item()

    assert moved(normalise=False) > 100 * moved(normalise=True)


@pytest.mark.parametrize("architecture", classifiers.ARCHITECTURES)
def test_it_learns_from_loudness_and_predicts_the_same_when_it_is_loaded(architecture, hums, tmp_path):
    model, (root, utterances) = model_of(architecture), hums
    cost = fit(hums, tmp_path, model)
    assert cost["scores"][cost["best"]] > 0.9 and cost["steps"] == 20
    for part in (model, classifiers.build_extractor()):
        part.save_pretrained(tmp_path / "model")
    named = classifiers.Classifier(tmp_path / "model", root, batch_size=5).emotions(utterances)
    assert named == predict(model, utterances, root, 24)
    assert np.mean([name == u.emotion for name, u in zip(named, utterances, strict=True)]) > 0.9


def test_predictions_are_in_the_order_of_the_utterances(hums):
    root, utterances = hums
    model = model_of()
    with torch.no_grad():
        model.classifier.weight.mul_(50)  # so that clips differ in their names
    names = {u.id: predict(model, [u], root)[0] for u in utterances}
    backwards = utterances[::-1]
    together = predict(model, backwards, root)
    assert together == [names[u.id] for u in backwards] and len(set(together)) > 1


def test_a_front_with_a_norm_over_time_gets_one_clip_at_a_time(hums):
    model, seen = model_of(), []
    model.config.feat_extract_norm = "group"
    model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    predict(model, hums[1][:3], hums[0], 3)
    assert seen == [1, 1, 1]


def test_an_interrupted_run_ends_as_an_uninterrupted_one(hums, tmp_path):
    whole, halves = model_of(), model_of()
    uninterrupted = fit(hums, tmp_path / "whole", whole)
    fit(hums, tmp_path / "halves", halves, save_steps=4, stop_after=8)
    again = model_of()
    resumed = fit(hums, tmp_path / "halves", again, save_steps=4)
    assert resumed["scores"] == uninterrupted["scores"] and list(resumed["scores"]) == [5, 10, 15, 20]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_manifest_without_labels_is_an_error(hums, tmp_path):
    unlabelled = [replace(u, emotion="") for u in hums[1]]
    write_manifest(tmp_path / "mixed.jsonl", [*hums[1][:3], *unlabelled])
    assert classifiers.labelled([tmp_path / "mixed.jsonl"]) == hums[1][:3]
    write_manifest(tmp_path / "none.jsonl", unlabelled)
    with pytest.raises(StudyError, match=r"none.jsonl: no utterance has an emotion; name labelled corpora"):
        classifiers.labelled([tmp_path / "none.jsonl"])


def begin(architecture, **changes):
    settings = {"hub": {}, "hub_revision": "main", "size": SIZE | FRONT, "train_front": True} | changes
    return classifiers.begin(SimpleNamespace(architecture=architecture, **settings))


def test_settings_choose_the_model_and_whether_its_front_is_trained(tmp_path):
    model, extractor = begin("wavlm", train_front=False)
    assert not any(p.requires_grad for p in model.base_model.feature_extractor.parameters())
    assert model.classifier.weight.requires_grad and not extractor.do_normalize
    for part in (model, extractor):
        part.save_pretrained(tmp_path)
    loaded, _ = begin("wavlm", hub={"wavlm": str(tmp_path)})
    assert torch.equal(loaded.classifier.weight, model.classifier.weight)
    assert all(p.requires_grad for p in loaded.base_model.feature_extractor.parameters())
    with pytest.raises(StudyError, match="'whisper' is none of wav2vec2, hubert, wavlm"):
        begin("whisper")


def test_a_pretrained_encoder_gets_a_new_head_and_its_own_extractor(tmp_path):
    classifiers.build("hubert", **SIZE, **FRONT).hubert.save_pretrained(tmp_path)
    extractor = classifiers.build_extractor()
    extractor.do_normalize = True
    extractor.save_pretrained(tmp_path)
    model, found = classifiers.load_pretrained("hubert", str(tmp_path), "main")
    weights = load_file(tmp_path / "model.safetensors")
    name = "encoder.layer_norm.weight"
    assert torch.equal(model.hubert.state_dict()[name], weights[name]) and found.do_normalize
    assert list(model.config.id2label.values()) == list(EMOTIONS)
    with pytest.raises(StudyError, match="is a hubert; name a wavlm there"):
        classifiers.load_pretrained("wavlm", str(tmp_path), "main")


def test_weights_that_are_nowhere_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StudyError, match=r"classifier.hub.wavlm: .*nothing-there.*it comes from"):
        classifiers.load_pretrained("wavlm", str(tmp_path / "nothing-there"), "main")
