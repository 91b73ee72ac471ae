"""The authors' checkpoints -> this model: Qwen-7B-Chat becomes Qwen2, a pickle becomes safetensors.

A released checkpoint is one folder: `config.json` (with `qwen_config` and `whisper_config`), weights, `qwen.tiktoken`,
`generation_config.json`, `preprocessor_config.json`. A folder of plain Qwen-7B-Chat is read too, as an LLM.
"""

import json
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM, WhisperConfig, WhisperFeatureExtractor

from blsp_core.convert.shards import Source, write_shards
from blsp_core.convert.tokenizer import SPECIAL, fast_tokenizer
from blsp_core.errors import StudyError
from blsp_core.model.checkpoint import WEIGHTS
from blsp_core.model.configuration import BlspEmoConfig
from blsp_core.model.modeling import BlspEmoForConditionalGeneration
from blsp_core.model.processing import BlspEmoProcessor

EMOTIONS = ("neutral", "happy", "angry", "sad", "surprise")  # the released head's order, which is not the paper's
_LLM, _KIND = r"(?:qwen_model\.)?(?:model\.)?", r"((?:lora_[AB]\.default\.)?(?:weight|bias))"
_MODULES = {  # of an LLM layer; Qwen's MLP is c_proj(w1(x) * silu(w2(x))): w1 is up, w2 is gate
    "ln_1": ["input_layernorm"],
    "ln_2": ["post_attention_layernorm"],
    "attn.c_attn": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "attn.c_proj": ["self_attn.o_proj"],
    "mlp.w1": ["mlp.up_proj"],
    "mlp.w2": ["mlp.gate_proj"],
    "mlp.c_proj": ["mlp.down_proj"],
}
_NAMES = {  # patterns of released keys -> what they become
    r"whisper_model\.(.+)": [r"encoder.\1"],
    r"hidden2emotion\.weight": ["emotion_head.weight"],
    r"adapter\.subsampler\.conv_layers\.(.+)": [r"adapter.convolutions.\1"],
    r"adapter\.fc1\.(.+)": [r"adapter.down.\1"],
    r"adapter\.fc2\.(.+)": [r"adapter.up.\1"],
    r"adapter\.speech_ln\.(.+)": [r"adapter.norm.\1"],
    rf"{_LLM}transformer\.wte\.weight": ["llm.model.embed_tokens.weight"],
    rf"{_LLM}transformer\.ln_f\.weight": ["llm.model.norm.weight"],
    rf"{_LLM}lm_head\.weight": ["llm.lm_head.weight"],
}
for _old, _new in _MODULES.items():
    _NAMES[rf"{_LLM}transformer\.h\.(\d+)\.{re.escape(_old)}\.{_KIND}"] = [rf"llm.model.layers.\1.{n}.\2" for n in _new]
_RECOMPUTED = re.compile(r"(rotary_emb\.inv_freq|logn_tensor|attn\.bias|masked_bias|registered_causal_mask)$")


@dataclass
class Report:
    """What became of every key of the source: its new names, or why it was left out; and which settings changed."""

    source: str
    used: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class _Settings(dict):
    """A JSON file of the source, or a section of it, whose missing and unexpected settings are named."""

    def __init__(self, path: Path, values: dict | None = None):
        self.path = path
        try:
            super().__init__(json.loads(_existing(path).read_text()) if values is None else values)
        except ValueError as error:
            raise StudyError(f"{path}: is not JSON ({error})") from None

    def __missing__(self, key):
        raise StudyError(f"{self.path}: {key} is missing; this is no config of the released code")

    def section(self, name: str) -> "_Settings":
        return _Settings(self.path, self.get(name) or {})

    def want(self, **settings) -> None:
        """Raises StudyError for a setting with another value; a setting that is not there has this one."""
        for name, wanted in settings.items():
            if self.get(name, wanted) != wanted:
                raise StudyError(f"{self.path}: {name} is {self[name]}, this model supports {wanted} only")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise StudyError(f"{path}: is not there; wanted is the whole folder of a released BLSP-Emo or Qwen checkpoint")
    return path


def convert(source: str | Path, target: str | Path, dtype: torch.dtype | None = None) -> Report:
    """Write `target`, a folder that `from_pretrained` of model and processor read, out of the released folder `source`.

    Memory peaks at about 2 GB. dtype: of the backbones; None keeps the source's. The report is written beside the
    weights as `conversion.json`. Raises StudyError for anything in the source that is not understood; then nothing is
    written.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise StudyError(f"{target}: is there already; name a new folder, or remove it")
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        report = _convert(source, unfinished, dtype)
        (unfinished / "conversion.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return report


def _convert(source: Path, target: Path, dtype: torch.dtype | None) -> Report:
    report, config = Report(source.name), _Settings(source / "config.json")
    whole = isinstance(config.get("qwen_config"), dict)
    if not whole and config.get("model_type") != "qwen":
        raise StudyError(
            f"{source}/config.json: model_type is {config.get('model_type')}; wanted is a released BLSP-Emo "
            "checkpoint (with qwen_config) or Qwen-7B-Chat (model_type qwen)"
        )
    llm_config, tokenizer, generation_config = _llm_parts(source, config.section("qwen_config") if whole else config)
    if whole:
        blsp_config, processor = _blsp_parts(source, config, llm_config, tokenizer)
    with torch.device("meta"):
        model = BlspEmoForConditionalGeneration(blsp_config) if whole else Qwen2ForCausalLM(llm_config)
    prefix = "" if whole else "llm."
    wanted = {prefix + name.replace(".base_layer.", "."): value for name, value in model.state_dict().items()}
    tensors = Source(source)
    places = _places(source, tensors, wanted, report)

    def read(name: str) -> torch.Tensor:
        key, piece, _ = places[name]
        return new_places(key, tensors[key])[piece][1]

    def write(folder: Path, part: str, *configs) -> None:
        shapes = {name: value for name, (_, _, value) in places.items() if _part(name) == part}
        shapes = {name.removeprefix(part): value.to(dtype or value.dtype) for name, value in shapes.items()}
        write_shards(folder, shapes, lambda name: read(part + name))
        for config in configs:
            config.save_pretrained(folder)

    if llm_config.max_prompt_length is not None:
        report.notes.append(
            f"sequences are refused beyond {llm_config.max_prompt_length} tokens, where the original begins to stretch "
            "positions (use_dynamic_ntk, use_logn_attn) and this model does not"
        )
    llm_config.architectures = ["Qwen2ForCausalLM"]
    write(target / "llm" if whole else target, "llm.", llm_config, tokenizer, generation_config)
    if not whole:
        return report
    write(target / "encoder", "encoder.", blsp_config.encoder_config, processor.feature_extractor)
    own = {name: read(name).float().clone() for name in places if not _part(name)}
    if "emotion_head.weight" not in own:  # the first release had none
        own["emotion_head.weight"] = torch.zeros(wanted["emotion_head.weight"].shape)
        report.notes.append("the source has no hidden2emotion.weight: the emotion head is zero and predicts nothing")
    save_file(own, target / WEIGHTS, metadata={"format": "pt"})
    for part in (blsp_config, processor):
        part.save_pretrained(target)
    return report


def _part(name: str) -> str:
    """The backbone that a weight of the model is saved with, or "" for a weight of the checkpoint's own."""
    return next((part for part in ("llm.", "encoder.") if name.startswith(part) and ".lora_" not in name), "")


def _blsp_parts(source: Path, config: _Settings, llm_config: Qwen2Config, tokenizer):
    """The configuration and the processor of a whole checkpoint."""
    config.want(adapter_type="subsampler", adapter_hidden_layers=0, num_emotions=len(EMOTIONS))
    lora = config.section("lora_config")
    lora.want(fan_in_fan_out=False, bias="none", peft_type="LORA")
    if lora:
        config.want(lora_scope="audio")
    targets = []
    for name in lora.get("target_modules", ()):
        modules = [new for old, names in _MODULES.items() if old.endswith(f".{name}") for new in names]
        if not modules:
            raise StudyError(f"{source}/config.json: lora_config.target_modules has {name}, which Qwen has not")
        targets += [new.rpartition(".")[2] for new in modules]
    extractor = WhisperFeatureExtractor.from_dict(_Settings(source / "preprocessor_config.json"))
    kernel_sizes = [int(size) for size in config["conv_kernel_sizes"].split(",")]
    adapter = {"type": "convolution", "kernel_sizes": kernel_sizes, "inner_dim": config["adapter_inner_dim"]}
    processor = BlspEmoProcessor(extractor, tokenizer, adapter, real_frames=False)
    blsp_config = BlspEmoConfig(
        encoder_config=WhisperConfig(**config["whisper_config"]).to_dict(), llm_config=llm_config.to_dict(),
        encoder_name="./encoder", llm_name="./llm", lora_targets=targets, lora_rank=lora.get("r", 0),
        lora_alpha=lora.get("lora_alpha", 16), lora_dropout=lora.get("lora_dropout", 0.0),
        emotions=EMOTIONS, **processor.model_settings,
    )  # fmt: skip
    blsp_config.architectures = ["BlspEmoForConditionalGeneration"]
    return blsp_config, processor


def _places(source: Path, tensors: Source, wanted: dict[str, torch.Tensor], report: Report) -> dict[str, tuple]:
    """Name -> (key, piece, tensor without data): each wanted tensor is the piece-th of what `new_places` makes of the
    key. All wanted ones are there, in their shapes, and no others. The report is filled."""
    places = {}
    for key, shape in tensors.shapes.items():
        file, found = tensors.files[key], new_places(key, shape)
        if found:
            report.used[key] = [name for name, _ in found]
        elif _RECOMPUTED.search(key):
            report.left_out[key] = "recomputed by this model"
        else:
            raise StudyError(f"{file}: {key} is not known; this is no checkpoint of the released code")
        for piece, (name, value) in enumerate(found):
            size = tuple(wanted[name].shape) if name in wanted else "no such weight"
            if tuple(value.shape) != size:
                raise StudyError(f"{file}: {key} gives {name} the shape {tuple(value.shape)}, config.json wants {size}")
            places[name] = key, piece, value
    missing = sorted(wanted.keys() - places.keys() - {"emotion_head.weight"})
    if missing:
        what = f"nothing gives {missing[0]}, which config.json asks for ({len(missing)} missing)"
        raise StudyError(f"{source}: {what}; fetch the checkpoint again")
    return {name: places[name] for name in wanted if name in places}


def new_places(key: str, tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """The names and tensors that a tensor of the released code becomes in this model; empty if it has no place.

    The fused c_attn is split into three; its low-rank update keeps one A for all three and splits B.
    """
    for pattern, new in _NAMES.items():
        if match := re.fullmatch(pattern, key):
            whole = len(new) == 1 or ".lora_A." in key
            pieces = [tensor] * len(new) if whole else tensor.chunk(len(new))
            return [(match.expand(name), piece) for name, piece in zip(new, pieces, strict=True)]
    return []


def _llm_parts(source: Path, qwen: _Settings) -> tuple:
    """The configuration, the tokenizer and the generation config of the LLM."""
    qwen.want(rotary_pct=1.0, no_bias=True, scale_attn_weights=True)
    same = {name: qwen[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
    limit = qwen["seq_length"] if qwen.get("use_dynamic_ntk") or qwen.get("use_logn_attn") else None
    length = limit or qwen["max_position_embeddings"]
    path = _existing(source / "qwen.tiktoken")
    tokenizer = fast_tokenizer(path, length)
    size, rows = len(tokenizer), qwen["vocab_size"]
    if not size <= rows < size + 512:  # Qwen pads its embedding to a round number
        raise StudyError(
            f"{path}: {size - len(SPECIAL)} tokens and {len(SPECIAL)} special ones do not match the embedding's {rows} "
            "rows (vocab_size in config.json); take both from one checkpoint"
        )
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|im_start|>", "<|endoftext|>"])
    config = Qwen2Config(
        **same, num_key_value_heads=qwen["num_attention_heads"], head_dim=qwen["kv_channels"],
        intermediate_size=qwen["intermediate_size"] // 2, max_position_embeddings=length,
        rms_norm_eps=qwen["layer_norm_epsilon"], tie_word_embeddings=qwen.get("tie_word_embeddings", False),
        rope_parameters={"rope_type": "default", "rope_theta": float(qwen["rotary_emb_base"])},
        bos_token_id=None, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, max_prompt_length=limit,
    )  # fmt: skip
    path = source / "generation_config.json"
    settings = _Settings(path) if path.is_file() else {}
    kept = {name: settings[name] for name in ("do_sample", "top_p", "top_k", "max_new_tokens") if name in settings}
    return config, tokenizer, GenerationConfig(**kept, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)
