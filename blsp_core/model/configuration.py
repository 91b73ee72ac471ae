"""What a BLSP-Emo is made of."""

from transformers import AutoConfig, PreTrainedConfig, WhisperConfig
from transformers.configuration_utils import SubConfigSpec

EMOTIONS = ("neutral", "happy", "sad", "angry", "surprise")
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class BlspEmoConfig(PreTrainedConfig):
    """The settings of a BLSP-Emo: two backbones, the adapter between them, partial LoRA and the emotion head.

    encoder_config, llm_config: the backbones' own configs.
    encoder_name, encoder_revision, llm_name, llm_revision: where the backbones' weights are: a hub name, or a folder.
        In a saved checkpoint a name that begins with "." is a folder relative to the checkpoint.
    adapter_type: "convolution", the paper's, or "qformer", SALMONN's (see `adapters.make_adapter`).
    adapter_kernel_sizes: one stride-2 convolution each; adapter_inner_dim: width of the bottleneck.
    qformer_window: encoder frames a query looks at; qformer_width, qformer_layers: of the Q-Former.
    lora_rank: 0 for none; lora_targets: names of the LLM's linear layers.
    lora_scope: "speech", low-rank updates at speech positions only, as in the paper; or "everywhere", as in SALMONN:
        at all positions, generated ones and those of text without speech among them.
    emotions: names of the classes of the emotion head, in the order of its outputs.
    speech_token_id: the placeholder that stands in `input_ids` once for every speech embedding. It may lie outside the
        LLM's vocabulary.
    encoder_layers: "last", the adapter reads the encoder's last layer, as in the paper; "mix", a learned mean of all
        (`weighting.LayerMix`); or "last+mix", the two side by side.
    emotion_pooling: "mean" over time before the emotion head, as in the paper; or "attention"
        (`weighting.AttentionPooling`).
    real_frames: the encoder sees the real frames only (True), or the clip padded to its full window (False).
    """

    model_type = "blsp_emo"
    sub_configs_defaults = {
        "encoder_config": SubConfigSpec(config_class=WhisperConfig),
        "llm_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen2"),
    }

    encoder_config: dict | PreTrainedConfig | None = None
    llm_config: dict | PreTrainedConfig | None = None
    encoder_name: str | None = None
    encoder_revision: str | None = None
    llm_name: str | None = None
    llm_revision: str | None = None
    adapter_type: str = "convolution"
    adapter_kernel_sizes: list[int] | tuple[int, ...] = (5, 5, 5)
    adapter_inner_dim: int = 512
    qformer_window: int = 17
    qformer_width: int = 768
    qformer_layers: int = 2
    lora_rank: int = 0
    lora_alpha: float = 16
    lora_dropout: float = 0.05
    lora_targets: list[str] | tuple[str, ...] = LORA_TARGETS
    lora_scope: str = "speech"
    emotions: list[str] | tuple[str, ...] = EMOTIONS
    speech_token_id: int | None = None
    real_frames: bool = True
    encoder_layers: str = "last"
    emotion_pooling: str = "mean"

    def get_text_config(self, decoder=None, encoder=None) -> PreTrainedConfig:
        """The LLM's config: `generate` sizes its cache by it."""
        return self.llm_config.get_text_config(decoder=decoder, encoder=encoder)
