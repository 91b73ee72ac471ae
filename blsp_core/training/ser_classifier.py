"""Speech emotion classifiers: the ears for tone of the cascades, a wav2vec 2.0, HuBERT or WavLM from sound to emotion.

Each is transformers' own model for audio classification: a convolutional front on the waveform, a Transformer, the mean
over time, a linear head. Pretrained ones come from the hub; those of the miniature start from nothing, at a small size.
"""

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
)

from blsp_core.data.audio import SAMPLE_RATE, load_audio
from blsp_core.data.manifest import EMOTIONS, Utterance, read_manifest
from blsp_core.errors import StudyError
from blsp_core.inference.llm import ready
from blsp_core.training.keeping import KeepBest
from blsp_core.training.trainer import train

# transformers' WavLM gives torch masks of two types; nothing here could give it others.
warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")

ARCHITECTURES = ("wav2vec2", "hubert", "wavlm")  # as transformers names them
DROPPED = "hidden_dropout activation_dropout attention_dropout feat_proj_dropout final_dropout layerdrop".split()
NAMES = {"id2label": dict(enumerate(EMOTIONS)), "label2id": {name: i for i, name in enumerate(EMOTIONS)}}


def build(
    architecture: str,
    *,
    width: int,
    layers: int,
    heads: int,
    ffn: int,
    conv_widths: list[int],
    conv_kernels: list[int],
    conv_strides: list[int],
) -> PreTrainedModel:
    """A classifier with random weights, `architecture` one of ARCHITECTURES; nothing in it is dropped or masked.

    The front has one convolution for each of `conv_widths`, kernels in samples of what is before them; the product of
    `conv_strides` is the hop in samples at 16 kHz. Each is followed by a norm over channels, as in the large models,
    not by the base models' norm over time, which removes a clip's loudness and lets padding into every frame.
    """
    if architecture not in ARCHITECTURES:
        raise StudyError(
            f"params.yaml, classifier.architecture: {architecture!r} is none of {', '.join(ARCHITECTURES)}"
        )
    config = AutoConfig.for_model(
        architecture,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=ffn,
        conv_dim=conv_widths,
        conv_kernel=conv_kernels,
        conv_stride=conv_strides,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=heads,
        classifier_proj_size=width,
        initializer_range=width**-0.5,
        apply_spec_augment=False,
        **dict.fromkeys(DROPPED, 0.0),
        **NAMES,
    )
    return AutoModelForAudioClassification.from_config(config)


def build_feature_extractor() -> Wav2Vec2FeatureExtractor:
    """The waveform as it is: to give every clip unit variance, as the large models do, would remove its loudness, and
    loudness tells the sad from the angry."""
    return Wav2Vec2FeatureExtractor(sampling_rate=SAMPLE_RATE, do_normalize=False, return_attention_mask=True)


def pretrained(architecture: str, name: str, revision: str) -> tuple[PreTrainedModel, Wav2Vec2FeatureExtractor]:
    """A pretrained encoder under a fresh head, and its feature extractor; `name` is a folder or a name on the hub.

    It hears clips normalised or not as it did in pretraining: another level would be foreign to it. Raises StudyError
    when it is neither here nor to be fetched, and when it is of another architecture.
    """
    where = f"params.yaml, classifier.hub.{architecture}"
    try:
        config = AutoConfig.from_pretrained(name, revision=revision, **NAMES)
        if config.model_type != architecture:
            raise StudyError(f"{where}: {name} is a {config.model_type}; name a {architecture} there")
        model = AutoModelForAudioClassification.from_pretrained(name, revision=revision, config=config)
        return model, AutoFeatureExtractor.from_pretrained(name, revision=revision)
    except OSError as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise StudyError(
            f"{where}: {name} (revision {revision}) is not here and could not be fetched ({reason}); it comes from "
            f"https://huggingface.co/{name}, where its licence stands: run `hf download {name} --revision {revision}` "
            "where there is a network, or name a folder that holds it"
        ) from None


def labelled(manifests: list[Path]) -> list[Utterance]:
    """The utterances of these manifests whose emotion is known. Raises StudyError when there is none."""
    found = [utterance for manifest in manifests for utterance in read_manifest(manifest) if utterance.emotion]
    if not found:
        names = ", ".join(map(str, manifests)) or "no manifest"
        raise StudyError(f"{names}: no utterance has an emotion; name labelled corpora in params.yaml, classifier")
    return found


class Clips(Dataset):
    """Utterances below `root`: an item is `sound`, (samples,) at 16 kHz, and `label`, the place of its emotion in
    EMOTIONS, -100 where it has none. `keep`: waveforms stay in memory, at half precision."""

    def __init__(self, utterances: list[Utterance], root: Path, keep: bool = False):
        self.utterances, self.root, self.keep = utterances, root, keep
        self.sounds: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> dict:
        emotion = self.utterances[index].emotion
        return {"sound": self._sound(index), "label": EMOTIONS.index(emotion) if emotion else -100}

    def _sound(self, index: int) -> np.ndarray:
        if not self.keep:
            return load_audio(self.utterances[index].audio, self.root)
        if index not in self.sounds:
            self.sounds[index] = load_audio(self.utterances[index].audio, self.root).astype(np.float16)
        return self.sounds[index].astype(np.float32)

    def lengths(self) -> list[int]:
        """Samples of every row, as its manifest has them; rows of like length share a batch."""
        return [round(utterance.duration * SAMPLE_RATE) for utterance in self.utterances]


def collate(extractor: Wav2Vec2FeatureExtractor, items: list[dict]) -> dict[str, torch.Tensor]:
    """Clips as a batch: input_values and attention_mask (clips, samples), labels (clips,)."""
    how = {"sampling_rate": SAMPLE_RATE, "padding": True, "return_attention_mask": True, "return_tensors": "pt"}
    batch = extractor([item["sound"] for item in items], **how)
    return {**batch, "labels": torch.tensor([item["label"] for item in items])}


def emotion_loss(model: PreTrainedModel, batch: Mapping) -> dict[str, torch.Tensor]:
    """Cross-entropy of the emotion (see `training.train`), and the shares of right names and of padding."""
    logits = model(batch["input_values"], attention_mask=batch["attention_mask"]).logits
    right = (logits.argmax(-1) == batch["labels"]).float().mean()
    padding = 1 - batch["attention_mask"].float().mean()
    return {
        "emotion_ce": cross_entropy(logits.float(), batch["labels"]),
        "share_emotion_right": right,
        "share_padding": padding,
    }


@torch.no_grad()
def predict(model: PreTrainedModel, extractor: Wav2Vec2FeatureExtractor, clips: Clips, batch_size: int) -> list[str]:
    """The emotion of every clip, in order; no clip's answer depends on its neighbours.

    A model whose front has a norm over time would hear the padding, so it hears one clip at a time.
    """
    if model.config.feat_extract_norm == "group":
        batch_size = 1
    order = np.argsort(clips.lengths(), kind="stable").tolist()
    names = [""] * len(order)
    training, _ = model.training, model.eval()
    for start in tqdm(range(0, len(order), batch_size), desc="emotions", unit="batch", leave=False):
        rows = order[start : start + batch_size]
        batch = collate(extractor, [clips[row] for row in rows])
        values, mask = (batch[name].to(model.device) for name in ("input_values", "attention_mask"))
        for row, best in zip(rows, model(values, attention_mask=mask).logits.argmax(-1).tolist(), strict=True):
            names[row] = model.config.id2label[best]
    model.train(training)
    return names


def fit(
    model: PreTrainedModel,
    extractor: Wav2Vec2FeatureExtractor,
    clips: Clips,
    validation: Clips,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    validations: int,
    checkpoints: Path,
    gradient_accumulation: int = 1,
    **schedule,
) -> dict:
    """Train the model on `clips` and leave it with the weights that did best on `validation`.

    It is asked `validations` times in training, evenly, by balanced accuracy. `schedule`: further arguments of
    `training.train`. Returns the cost of the run, `scores` (update -> balanced accuracy) and `best`, an update.
    """
    truth = [utterance.emotion for utterance in validation.utterances]
    best = KeepBest(
        lambda trained: float(balanced_accuracy_score(truth, predict(trained, extractor, validation, batch_size))),
        max(1, steps // validations),
        checkpoints / "best",
    )
    cost = train(
        model,
        clips,
        partial(collate, extractor),
        emotion_loss,
        steps=steps,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        seed=seed,
        lengths=clips.lengths(),
        callbacks=[best],
        checkpoints=checkpoints / "model",
        **schedule,
    )
    return {**cost, "scores": best.scores, "best": best.best}


class Classifier:
    """A classifier from its folder, naming the emotions of utterances below `root`."""

    def __init__(self, folder: Path, root: Path, batch_size: int = 32):
        self.model = ready(AutoModelForAudioClassification.from_pretrained(folder))
        self.extractor = AutoFeatureExtractor.from_pretrained(folder)
        self.root, self.batch_size = root, batch_size

    def emotions(self, utterances: list[Utterance]) -> list[str]:
        """One of EMOTIONS for each utterance, in order."""
        return predict(self.model, self.extractor, Clips(utterances, self.root), self.batch_size)
