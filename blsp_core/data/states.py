"""What a frozen encoder makes of a clip, computed once for all runs that need it."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch

from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor, processing
from blsp_core.model import encoder as speech_encoder
from blsp_core.data.batching import pad_features
from blsp_core.inference.llm import ready


class States:
    """Encoder states by clip, on disk: <folder>/<encoder>/<clip>.npy, float16.

    Both names are digests: the encoder's of its weights, its settings and the code that runs it, the clip's of its
    sound. So what is found there is always what would be computed; the folder may be deleted at any time. Every clip is
    encoded alone, that not even the last digit of its states may depend on what happened to be encoded with it.
    """

    def __init__(self, model: BlspEmoForConditionalGeneration, processor: BlspEmoProcessor, folder: Path):
        self.model, self.processor = ready(model), processor
        self.folder = Path(folder) / _digest_of_encoder(model, processor)
        self.folder.mkdir(parents=True, exist_ok=True)

    def of(self, sound: np.ndarray) -> torch.Tensor:
        """`encoder_states` of one waveform, in half precision."""
        path = self.folder / f"{hashlib.sha256(np.ascontiguousarray(sound)).hexdigest()[:32]}.npy"
        if not path.exists():
            states = encoder_states(self.model, self.processor, [sound])[0]
            half = path.with_name(f"{path.stem}.{os.getpid()}.half")
            with open(half, "wb") as file:
                np.save(file, states.to(torch.float16).cpu().numpy())
            half.replace(path)
        return torch.from_numpy(np.load(path))


@torch.no_grad()
def encoder_states(
    model: BlspEmoForConditionalGeneration, processor: BlspEmoProcessor, sounds: list[np.ndarray]
) -> list[torch.Tensor]:
    """(frames, width) of each waveform, or (frames, layers + 1, width) where layers are mixed; real frames only."""
    heard = [processor.features([sound]) for sound in sounds]
    frames = [int(one["feature_attention_mask"].sum()) for one in heard]
    features, mask = pad_features([one["input_features"][0] for one in heard], frames)
    states, mask = model.encode(features.to(model.device), mask.to(model.device))
    return [one[real] for one, real in zip(states, mask, strict=True)]


def _digest_of_encoder(model: BlspEmoForConditionalGeneration, processor: BlspEmoProcessor) -> str:
    config = model.config
    digest = hashlib.sha256(f"{config.real_frames} {config.encoder_layers} {model.device.type}".encode())
    digest.update(processor.feature_extractor.to_json_string().encode())
    for module in (processing, speech_encoder):
        digest.update(Path(module.__file__).read_bytes())
    for name, weight in sorted(model.encoder.state_dict().items()):
        digest.update(name.encode() + weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
