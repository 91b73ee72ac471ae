"""Speech emotion classifiers of the cascades: wav2vec 2.0, HuBERT or WavLM, as transformers has them.

A convolutional front on the waveform, a Transformer, the mean over time, a linear head. Pretrained weights come from
the hub; at toy scales small models are trained from random weights.
"""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from torch.utils.data import Dataset
from transformers import AutoConfig, AutoFeatureExtractor, PreTrainedModel, Wav2Vec2FeatureExtractor
from transformers import AutoModelForAudioClassification as AutoClassifier

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Utterance, read_manifest
from blsp_core.errors import StudyError, first_line
from blsp_core.inference.batches import ready, run_in_batches
from blsp_core.model.audio import SAMPLE_RATE, load_audio
from blsp_core.training.objectives import classification
from blsp_core.training.trainer import train

warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")  # WavLM's own masks

ARCHITECTURES = ("wav2vec2", "hubert", "wavlm")  # as transformers names them
DROPOUTS = "hidden_dropout activation_dropout attention_dropout feat_proj_dropout final_dropout layerdrop".split()
NAMES = {"id2label": dict(enumerate(EMOTIONS)), "label2id": {name: i for i, name in enumerate(EMOTIONS)}}


def begin(settings) -> tuple[PreTrainedModel, Wav2Vec2FeatureExtractor]:
    """The classifier before training and its feature extractor, from the section classifier of params.yaml."""
    architecture = settings.architecture
    if architecture not in ARCHITECTURES:
        raise StudyError(f"classifier.architecture: {architecture!r} is none of {', '.join(ARCHITECTURES)}")
    if architecture in settings.hub:
        model, extractor = load_pretrained(architecture, settings.hub[architecture], settings.hub_revision)
        settings.hub_revision = getattr(model.config, "_commit_hash", None) or settings.hub_revision  # for the record
    else:
        model, extractor = build(architecture, **settings.size), build_extractor()
    if not settings.train_front:
        model.freeze_feature_encoder()
    return ready(model), extractor


def build(
    architecture: str, width: int, layers: int, heads: int, ffn: int, conv_widths, conv_kernels, conv_strides
) -> PreTrainedModel:
    """A classifier with random weights, without dropout and masking.

    One convolution for each of `conv_widths`; the product of `conv_strides` is the hop in samples. Norms are over
    channels, as in the large models: the base models' norm over time removes loudness, and padding changes it.
    """
    config = AutoConfig.for_model(
        architecture, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=ffn,
        conv_dim=conv_widths, conv_kernel=conv_kernels, conv_stride=conv_strides, conv_bias=True,
        feat_extract_norm="layer", do_stable_layer_norm=True, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=heads, classifier_proj_size=width, initializer_range=width**-0.5,
        apply_spec_augment=False, **dict.fromkeys(DROPOUTS, 0.0), **NAMES,
    )  # fmt: skip
    return AutoClassifier.from_config(config)


def build_extractor() -> Wav2Vec2FeatureExtractor:
    """Passes the waveform on as it is: normalised to unit variance, it would lose loudness, a cue to the emotion."""
    return Wav2Vec2FeatureExtractor(sampling_rate=SAMPLE_RATE, do_normalize=False, return_attention_mask=True)


def load_pretrained(architecture: str, name: str, revision: str) -> tuple[PreTrainedModel, Wav2Vec2FeatureExtractor]:
    """A pretrained encoder with a new head, and the feature extractor of its pretraining; `name`: of a folder or hub
    repository. Raises StudyError when it is not there, or of another architecture."""
    where = f"params.yaml, classifier.hub.{architecture}"
    try:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False, **NAMES)
        if config.model_type != architecture:
            raise StudyError(f"{where}: {name} is a {config.model_type}; name a {architecture} there")
        model = AutoClassifier.from_pretrained(name, revision=revision, config=config)
        return model, AutoFeatureExtractor.from_pretrained(name, revision=revision)
    except OSError as error:
        raise StudyError(
            f"{where}: {name} (revision {revision}) is not here and could not be fetched ({first_line(error)}); it "
            f"comes from https://huggingface.co/{name}, with its licence: run `hf download {name} --revision "
            f"{revision}` where there is a network, or name a folder that holds it"
        ) from None


def labelled(manifests: list[Path]) -> list[Utterance]:
    """The utterances of these manifests that have an emotion. Raises StudyError when there is none."""
    found = [utterance for manifest in manifests for utterance in read_manifest(manifest) if utterance.emotion]
    if not found:
        names = ", ".join(map(str, manifests)) or "no manifest"
        raise StudyError(f"{names}: no utterance has an emotion; name labelled corpora in params.yaml, classifier")
    return found


class Clips(Dataset):
    """Utterances below `root`: an item is `sound`, (samples,) at 16 kHz, `label`, an index into EMOTIONS or -100, and
    `id`. keep: waveforms stay in memory, in half precision."""

    def __init__(self, utterances: list[Utterance], root: Path, keep: bool = False):
        self.utterances, self.root, self.keep, self.sounds = utterances, root, keep, {}

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> dict:
        clip, sound = self.utterances[index], self.sounds.get(index)
        if sound is None:
            sound = load_audio(clip.audio, self.root)
            if self.keep:
                sound = self.sounds[index] = sound.astype(np.float16)
        label = EMOTIONS.index(clip.emotion) if clip.emotion else -100
        return {"sound": sound.astype(np.float32), "label": label, "id": clip.id}

    def lengths(self) -> list[int]:
        """Samples of every clip, by its manifest."""
        return [round(utterance.duration * SAMPLE_RATE) for utterance in self.utterances]


def collate(extractor: Wav2Vec2FeatureExtractor, items: list[dict]) -> dict:
    """A batch: input_values and attention_mask (clips, samples), labels (clips,), ids."""
    options = {"sampling_rate": SAMPLE_RATE, "padding": True, "return_attention_mask": True, "return_tensors": "pt"}
    batch = extractor([item["sound"] for item in items], **options)
    return {**batch, "labels": torch.tensor([item["label"] for item in items]), "ids": [item["id"] for item in items]}


def predict(model: PreTrainedModel, extractor: Wav2Vec2FeatureExtractor, clips: Clips, batch_size: int) -> list[str]:
    """The emotion of every clip, in order; independent of the other clips.

    A front with a norm over time would depend on the padding, so that such a model gets one clip at a time.
    """

    def run(rows: list[int]) -> list[str]:
        batch = collate(extractor, [clips[row] for row in rows])
        values, mask = (batch[name].to(model.device) for name in ("input_values", "attention_mask"))
        return [model.config.id2label[best] for best in model(values, attention_mask=mask).logits.argmax(-1).tolist()]

    training, one_by_one = model.training, model.config.feat_extract_norm == "group"
    model.eval()
    names = run_in_batches(run, clips.lengths(), 1 if one_by_one else batch_size, "emotion classifier")
    model.train(training)
    return names


def fit(model, extractor, clips: Clips, validation: Clips, *, batch_size: int, **options) -> dict:
    """`trainer.train` on `clips`, which leaves the model with the weights that have the best mean recall over the
    emotions of `validation`."""
    truth = [utterance.emotion for utterance in validation.utterances]

    def score(trained: PreTrainedModel) -> float:
        return float(balanced_accuracy_score(truth, predict(trained, extractor, validation, batch_size)))

    options |= {"batch_size": batch_size, "lengths": clips.lengths(), "score": score}
    return train(model, clips, partial(collate, extractor), classification, **options)


class Classifier:
    """A classifier from its folder, for utterances below `root`."""

    def __init__(self, folder: Path, root: Path, batch_size: int = 32):
        self.model = ready(AutoClassifier.from_pretrained(folder))
        self.extractor, self.root = AutoFeatureExtractor.from_pretrained(folder), root
        self.batch_size = batch_size

    def emotions(self, utterances: list[Utterance]) -> list[str]:
        """The emotion of each utterance, in order."""
        return predict(self.model, self.extractor, Clips(utterances, self.root), self.batch_size)
