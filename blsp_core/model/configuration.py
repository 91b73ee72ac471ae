"""The settings of a BLSP-Emo model."""

import importlib
from collections.abc import Mapping
from math import inf

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from blsp_core.errors import StudyError

EMOTIONS = ("neutral", "happy", "sad", "angry", "surprise")
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PAPER_ADAPTER = {"type": "convolution", "kernel_sizes": [5, 5, 5], "inner_dim": 512}


class BlspEmoConfig(PreTrainedConfig):
    """The settings of a BLSP-Emo model: two backbones, the adapter between them, partial LoRA and the emotion head.

    encoder_config, llm_config: the configs of the backbones.
    encoder_name, encoder_revision, llm_name, llm_revision: where the weights of the backbones are: a hub name, or a
        folder. In a saved checkpoint a name that begins with "." is a folder relative to the checkpoint.
    adapter: `type` and the settings of that class in `adapters.ADAPTERS`; the paper's by default.
    encoder_layers: what the adapter reads: "last", the last layer of the encoder, as in the paper; "mix", a learned
        mean of all layers; "last+mix", both, concatenated.
    lora_rank: 0 for none. lora_targets: names of the LLM's linear layers.
    lora_scope: "speech", low-rank updates at speech positions only, as in the paper; or "everywhere", at all positions,
        as in SALMONN.
    emotions: the classes of the emotion head, in the order of its outputs.
    speech_token_id: the placeholder that stands in `input_ids` once for every speech embedding. It may lie outside the
        LLM's vocabulary.
    real_frames: the encoder reads the real frames only (True), or the clip padded to its full window (False).
    n_fft: samples of a log-mel frame's window; None in a checkpoint that does not know it.
    """

    model_type = "blsp_emo"
    sub_configs_defaults = {
        "encoder_config": SubConfigSpec(config_class=AutoConfig, model_type="whisper"),
        "llm_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen2"),
    }

    encoder_config: dict | PreTrainedConfig | None = None
    llm_config: dict | PreTrainedConfig | None = None
    encoder_name: str | None = None
    encoder_revision: str | None = None
    llm_name: str | None = None
    llm_revision: str | None = None
    adapter: dict | None = None
    encoder_layers: str = "last"
    lora_rank: int = 0
    lora_alpha: float = 16
    lora_dropout: float = 0.05
    lora_targets: list[str] | tuple[str, ...] = LORA_TARGETS
    lora_scope: str = "speech"
    emotions: list[str] | tuple[str, ...] = EMOTIONS
    speech_token_id: int | None = None
    real_frames: bool = True
    n_fft: int | None = None

    def __post_init__(self, **kwargs):
        self.adapter = self.adapter or PAPER_ADAPTER
        for name, good, wanted in (
            ("adapter", isinstance(self.adapter, Mapping), "a mapping"),
            ("emotions", _are_names(self.emotions), "a list of names, each once"),
            ("lora_targets", not self.lora_rank or _are_names(self.lora_targets), "a list of names, each once"),
            ("lora_rank", type(self.lora_rank) is int and self.lora_rank >= 0, "a whole number from 0"),
            ("real_frames", isinstance(self.real_frames, bool), "true or false"),
            ("lora_alpha", type(self.lora_alpha) in (int, float) and 0 < self.lora_alpha < inf, "a number above 0"),
        ):
            if not good:
                raise StudyError(f"{name}: {getattr(self, name)!r}, wanted is {wanted}")
        self.adapter = dict(self.adapter)
        super().__post_init__(**kwargs)
        importlib.import_module("blsp_core.model.modeling")  # which registers the model of this config with AutoModel

    def get_text_config(self, decoder=None, encoder=None) -> PreTrainedConfig:
        """The LLM's config: `generate` sizes its cache by it."""
        return self.llm_config.get_text_config(decoder=decoder, encoder=encoder)


def _are_names(value) -> bool:
    listed = isinstance(value, list | tuple) and all(isinstance(name, str) and name for name in value)
    return listed and len(set(value)) == len(value) > 0


AutoConfig.register(BlspEmoConfig.model_type, BlspEmoConfig, exist_ok=True)
