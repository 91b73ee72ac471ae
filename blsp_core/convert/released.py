"""The authors' checkpoints -> this model: Qwen-7B-Chat becomes Qwen2, a pickle becomes safetensors.

A released checkpoint is one folder: `config.json` (with `qwen_config` and `whisper_config`), weights, `qwen.tiktoken`,
`generation_config.json`, `preprocessor_config.json`. A folder of plain Qwen-7B-Chat is read too, as an LLM.
"""

import json
import re
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM, WhisperConfig, WhisperFeatureExtractor

from blsp_core.convert.shards import Source, write_shards
from blsp_core.convert.tokenizer import SPECIAL, fast_tokenizer
from blsp_core.errors import StudyError, refused
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
_TARGETS = ("c_attn", "w1", "w2", "c_proj")  # that LoRA can have
RATE = 16_000  # Hz, of what Whisper reads
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

    def __init__(self, path: Path, wanted: str = "", values: dict | None = None):
        self.path = path
        if values is None and not path.is_file():
            raise StudyError(f"{path}: is not there; wanted is {wanted}")
        with refused(f"{path}: is not JSON"):
            values = json.loads(path.read_text(encoding="utf-8")) if values is None else values
        if not isinstance(values, dict):
            raise StudyError(f"{path}: holds {str(values)[:40]}; wanted is a mapping of settings")
        super().__init__(values)

    def __missing__(self, key):
        raise StudyError(f"{self.path}: {key} is missing; this is no config of the released code")

    def section(self, name: str) -> "_Settings":
        return _Settings(self.path, values=self.get(name) or {})

    def want(self, **settings) -> None:
        """Raises StudyError for a setting with another value; a setting that is not there has this one."""
        for name, wanted in settings.items():
            if self.get(name, wanted) != wanted:
                raise StudyError(f"{self.path}: {name} is {self[name]}, this model supports {wanted} only")


def convert(source: str | Path, target: str | Path, dtype: torch.dtype | None = None) -> Report:
    """Write `target`, a folder that `from_pretrained` of model and processor read, out of the released folder `source`.

    Memory peaks at about 2 GB. dtype: of the backbones; None keeps the source's. The report is written beside the
    weights as `conversion.json`. Raises StudyError for anything in the source that is not understood; then nothing is
    written.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise StudyError(f"{target}: is there already; name a new folder, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=target.parent) as folder:
        unfinished = Path(folder) / target.name
        with refused(f"{source}: cannot be converted; its settings or weights are not those of the released code"):
            report = _convert(source, unfinished, dtype)
            (unfinished / "conversion.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
        unfinished.replace(target)
    return report


def _convert(source: Path, target: Path, dtype: torch.dtype | None) -> Report:
    report, config = Report(source.name), _Settings(source / "config.json", "a released BLSP-Emo or Qwen checkpoint")
    whole = isinstance(config.get("qwen_config"), dict)
    if not whole and config.get("model_type") != "qwen":
        raise StudyError(
            f"{source}/config.json: model_type is {config.get('model_type')}; wanted is a released BLSP-Emo "
            "checkpoint (with qwen_config) or Qwen-7B-Chat (model_type qwen)"
        )
    llm_config = _qwen2_config(config.section("qwen_config") if whole else config, report)
    tokenizer = _tokenizer(source, llm_config)
    if whole:
        blsp_config, processor = _blsp_parts(source, config, llm_config, tokenizer)
    with torch.device("meta"):
        model = BlspEmoForConditionalGeneration(blsp_config) if whole else Qwen2ForCausalLM(llm_config)
    prefix = "" if whole else "llm."
    wanted = {prefix + name.replace(".base_layer.", "."): value for name, value in model.state_dict().items()}
    tensors = Source(source)
    parts = {"llm": {}, "encoder": {}, "own": {}}
    for name, place in _places(source, tensors, wanted, report).items():
        part = name.partition(".")[0]
        part = "own" if ".lora_" in name or part not in parts else part
        parts[part][name.removeprefix(f"{part}.")] = place
    llm = target / "llm" if whole else target
    _write_llm_extras(source, llm, llm_config, tokenizer)
    _write(llm, tensors, parts["llm"], dtype)
    if not whole:
        return report
    _write(target / "encoder", tensors, parts["encoder"], dtype)
    own = {name: _read(tensors, *place).float().clone() for name, place in parts["own"].items()}
    if "emotion_head.weight" not in own:  # the first release had none
        own["emotion_head.weight"] = torch.zeros(wanted["emotion_head.weight"].shape)
        report.notes.append("the source has no hidden2emotion.weight: the emotion head is zero and predicts nothing")
    for part in (blsp_config.encoder_config, processor.feature_extractor):
        part.save_pretrained(target / "encoder")
    for part in (blsp_config, processor):
        part.save_pretrained(target)
    save_file(own, target / WEIGHTS, metadata={"format": "pt"})
    return report


def _blsp_parts(source: Path, config: _Settings, llm_config: Qwen2Config, tokenizer):
    """The configuration and the processor of a whole checkpoint."""
    config.want(adapter_type="subsampler", adapter_hidden_layers=0, num_emotions=len(EMOTIONS))
    lora = config.section("lora_config")
    lora.want(fan_in_fan_out=False, bias="none", peft_type="LORA")
    if lora:
        config.want(lora_scope="audio")
    targets = lora.get("target_modules", ())
    for name in targets:
        if name not in _TARGETS:
            raise StudyError(f"{source}/config.json: lora_config.target_modules has {name}, known are {[*_TARGETS]}")
    extractor = WhisperFeatureExtractor.from_dict(_Settings(source / "preprocessor_config.json", "Whisper's features"))
    mels, bands = extractor.feature_size, config["whisper_config"]["num_mel_bins"]
    if (extractor.sampling_rate, mels) != (RATE, bands):
        raise StudyError(
            f"{source}/preprocessor_config.json: {mels} mel bands of sound at {extractor.sampling_rate} Hz; wanted are "
            f"{bands} at {RATE} Hz"
        )
    kernel_sizes = [int(size) for size in config["conv_kernel_sizes"].split(",")]
    adapter = {"type": "convolution", "kernel_sizes": kernel_sizes, "inner_dim": config["adapter_inner_dim"]}
    processor = BlspEmoProcessor(extractor, tokenizer, adapter, real_frames=False)
    modules = [new for target in targets for old, new in _MODULES.items() if old.endswith(f".{target}")]
    blsp_config = BlspEmoConfig(
        encoder_config=WhisperConfig(**config["whisper_config"]).to_dict(),
        llm_config=llm_config.to_dict(),
        encoder_name="./encoder",
        llm_name="./llm",
        lora_rank=lora.get("r", 0),
        lora_alpha=lora.get("lora_alpha", 16),
        lora_dropout=lora.get("lora_dropout", 0.0),
        lora_targets=[name.rpartition(".")[2] for new in modules for name in new],
        emotions=EMOTIONS,
        **processor.model_settings,
    )
    blsp_config.architectures = ["BlspEmoForConditionalGeneration"]
    return blsp_config, processor


def _places(source: Path, tensors: Source, wanted: dict[str, torch.Tensor], report: Report) -> dict:
    """Name -> (key, piece), where each wanted tensor is in the source: the piece-th of what `new_places` makes of the
    key. All wanted ones are there, in their shapes, and no others. The report is filled."""
    places = {}
    for key, shape in tensors.shapes.items():
        file, found = tensors.files[key], new_places(key, shape)
        if not found and _RECOMPUTED.search(key):
            report.left_out[key] = "recomputed by this model"
            continue
        if not found:
            raise StudyError(f"{file}: {key} is not known; this is no checkpoint of the released code")
        for piece, (name, value) in enumerate(found):
            if name not in wanted:
                raise StudyError(f"{file}: {key} has no place in the model that config.json describes")
            found_size, size = tuple(value.shape), tuple(wanted[name].shape)
            if found_size != size:
                raise StudyError(f"{file}: {key} gives {name} the shape {found_size}, config.json wants {size}")
            places[name] = key, piece
        report.used[key] = [name for name, _ in found]
    missing = sorted(wanted.keys() - places.keys() - {"emotion_head.weight"})
    if missing:
        files = sorted(set(tensors.files.values()))
        where = files[0] if len(files) == 1 else source
        raise StudyError(f"{where}: nothing gives {missing[0]}, which config.json asks for ({len(missing)} missing)")
    return {name: places[name] for name in wanted if name in places}


def _write(folder: Path, tensors: Source, places: dict[str, tuple[str, int]], dtype: torch.dtype | None) -> None:
    shapes = {name: new_places(key, tensors.shapes[key])[i][1] for name, (key, i) in places.items()}
    shapes = {name: value.to(dtype or value.dtype) for name, value in shapes.items()}
    write_shards(folder, shapes, lambda name: _read(tensors, *places[name]))


def _read(tensors: Source, key: str, piece: int) -> torch.Tensor:
    tensor = tensors[key]
    if not tensor.is_floating_point() or not tensor.isfinite().all():
        what = "holds NaN or infinity" if tensor.is_floating_point() else f"is {tensor.dtype}, wanted is floating point"
        raise StudyError(f"{tensors.files[key]}: {key} {what}; fetch the checkpoint again")
    return new_places(key, tensor)[piece][1]


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


def _qwen2_config(qwen: _Settings, report: Report) -> Qwen2Config:
    qwen.want(rotary_pct=1.0, no_bias=True, scale_attn_weights=True)
    same = {name: qwen[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
    limit = qwen["seq_length"] if qwen.get("use_dynamic_ntk") or qwen.get("use_logn_attn") else None
    if limit is not None:
        report.notes.append(
            f"correct up to {limit} tokens: beyond, the original stretches positions (use_dynamic_ntk, use_logn_attn); "
            "a BLSP-Emo refuses longer sequences, this LLM alone does not"
        )
    return Qwen2Config(
        **same,
        num_key_value_heads=qwen["num_attention_heads"],
        head_dim=qwen["kv_channels"],
        intermediate_size=qwen["intermediate_size"] // 2,
        max_position_embeddings=limit or qwen["max_position_embeddings"],
        rms_norm_eps=qwen["layer_norm_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": float(qwen["rotary_emb_base"])},
        tie_word_embeddings=qwen.get("tie_word_embeddings", False),
        bos_token_id=None,
        max_prompt_length=limit,
    )


def _tokenizer(source: Path, llm_config: Qwen2Config):
    path = source / "qwen.tiktoken"
    if not path.is_file():
        raise StudyError(f"{path}: is not there; a released checkpoint has its vocabulary in this file")
    tokenizer = fast_tokenizer(path, llm_config.max_position_embeddings)
    size, rows = len(tokenizer), llm_config.vocab_size
    if not size <= rows < size + 512:  # Qwen pads its embedding to a round number
        raise StudyError(
            f"{path}: {size - len(SPECIAL)} tokens and {len(SPECIAL)} special ones do not match the embedding's {rows} "
            "rows (vocab_size in config.json); take both from one checkpoint"
        )
    llm_config.pad_token_id = tokenizer.pad_token_id
    llm_config.eos_token_id = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|im_start|>", "<|endoftext|>"])
    return tokenizer


def _write_llm_extras(source: Path, target: Path, llm_config: Qwen2Config, tokenizer) -> None:
    llm_config.architectures = ["Qwen2ForCausalLM"]
    llm_config.save_pretrained(target)
    tokenizer.save_pretrained(target)
    path = source / "generation_config.json"
    settings = _Settings(path) if path.is_file() else {}
    kept = {name: settings[name] for name in ("do_sample", "top_p", "top_k", "max_new_tokens") if name in settings}
    ids = {"eos_token_id": llm_config.eos_token_id, "pad_token_id": llm_config.pad_token_id}
    GenerationConfig(**kept, **ids).save_pretrained(target)
