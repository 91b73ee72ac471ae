"""`blsp-rehearse`: whether a scale fits this machine, before any weight or corpus of it is here.

Both stages run for some updates with the settings of params.yaml and backbones of the right size, but with random
weights, on noise instead of speech: what an update costs does not depend on what is learned.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from blsp_core.errors import StudyError

app = typer.Typer(add_completion=False)

# Sizes of the backbones that the scales name, as their config.json has them; Qwen-7B-Chat as `blsp-convert` makes it.
ENCODERS = {
    "openai/whisper-tiny.en": {"d_model": 384, "layers": 4, "heads": 6},
    "openai/whisper-small": {"d_model": 768, "layers": 12, "heads": 12},
    "openai/whisper-large-v2": {"d_model": 1280, "layers": 32, "heads": 20},
}
LLMS = {
    "Qwen/Qwen2.5-1.5B-Instruct": {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "Qwen/Qwen-7B-Chat": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "intermediate_size": 11008,
        "vocab_size": 151936,
        "tie_word_embeddings": False,
    },
}


@app.command()
def rehearse(
    scale: Annotated[
        str | None, typer.Option(help="One of `scales` in params.yaml; without it, the one it names")
    ] = None,
    updates: Annotated[int, typer.Option(min=2, help="Of each stage; the first is not counted")] = 4,
    seconds: Annotated[float, typer.Option(min=1, max=30, help="Length of every clip; the longest decide")] = 15.0,
) -> None:
    """Run both stages of a scale for some updates with random weights: seconds an update, and memory.

    It is of training alone; data, continuations and evaluation are not in it.
    """
    import torch

    try:
        for cost in both_stages(scale, updates, seconds):
            typer.echo("\n".join(f"{name}: {value}" for name, value in cost.items()) + "\n")
    except StudyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except torch.OutOfMemoryError:
        typer.echo(
            f"the GPU's memory is too small for this stage with clips of {seconds:g} s; halve its batch_size in "
            "params.yaml and double its gradient_accumulation, or choose smaller backbones",
            err=True,
        )
        raise typer.Exit(1) from None


def both_stages(scale: str | None, updates: int, seconds: float) -> Iterator[Mapping]:
    """What each stage costs, with its section's settings in params.yaml, those of no variant."""
    from blsp_core.data import prompts
    from blsp_core.data.dataset import Examples
    from blsp_core.data.manifest import EMOTIONS
    from blsp_core.inference import llm
    from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
    from blsp_core.study.notebook import find_root
    from blsp_core.study.settings import Settings, read_params, resolve
    from blsp_core.training import objectives
    from blsp_core.training import setup as variants

    params = read_params(find_root())
    first, second = (Settings(name, resolve(params, name, scale)) for name in ("stage1", "stage2"))
    foundation = Settings("foundation", resolve(params, "foundation", scale))
    with tempfile.TemporaryDirectory(prefix="blsp-") as scratch:
        folder = Path(scratch)
        encoder, talker = backbones(foundation, folder, llm.precision())
        shape = {name: getattr(first, name) for name in ("adapter_kernel_sizes", "real_frames")}
        processor = BlspEmoProcessor.from_parts(folder / "asr", folder / "llm", **shape)
        size = {name: getattr(first, name) for name in ("adapter_inner_dim", "encoder_layers")} | {"emotions": EMOTIONS}
        manners = prompts.manners(prompts.SYSTEM, prompts.CONTINUE_WORDINGS, False)

        model = BlspEmoForConditionalGeneration.from_parts(encoder, talker, processor, **size)
        model.set_trainable(adapter=True)
        data = Examples(clips(folder, first, seconds), processor, folder, manners, keep=first.encode_once)
        if first.encode_once:
            data.encode_once(model, folder / "states")
        loss = objectives.SemanticAlignment(first.temperature, shift=not first.released_kl)
        yield {"stage": "stage1", **cost(model, data, loss, first, updates, folder)}

        added = {name: getattr(second, name) for name in variants.ADDED}
        model = BlspEmoForConditionalGeneration.from_parts(encoder, talker, processor, **size, **added)
        model.set_trainable(encoder=second.train_encoder, lora=second.lora_rank > 0, head=second.emotion_weight > 0)
        kept = {"keep": second.keep_features, "augment": second.augment}
        data = Examples(clips(folder, second, seconds), processor, folder, manners, **kept)
        loss = objectives.EmotionAlignment(second.emotion_weight)
        yield {"stage": "stage2", **cost(model, data, loss, second, updates, folder)}


def backbones(foundation, folder: Path, dtype):
    """An encoder and an LLM of the sizes that `foundation` asks for, random, where they will be trained; and in folders
    `asr` and `llm` what a processor reads of them: the LLM's tokenizer is that of the miniature."""
    import torch
    from accelerate import PartialState
    from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from blsp_core.toy import llm as foundation_llm
    from blsp_core.toy import tokenizer as vocabulary
    from blsp_core.toy import whisper as foundation_asr

    def known(name: str, sizes: Mapping, config):
        if Path(name).is_dir():
            return AutoConfig.from_pretrained(name)
        if name not in sizes:
            raise StudyError(
                f"{name}: its size is not known here, only that of {', '.join(sizes)}; "
                "name a folder that holds its config.json"
            )
        return config(**sizes[name])

    def whisper(d_model: int, layers: int, heads: int) -> WhisperConfig:
        parts = {"encoder_layers": layers, "encoder_attention_heads": heads, "encoder_ffn_dim": 4 * d_model}
        return WhisperConfig(d_model=d_model, num_mel_bins=80, max_source_positions=1500, **parts)

    tokenizer = vocabulary.build_tokenizer(vocabulary.all_texts())
    extractor = foundation_asr.build_feature_extractor()
    shape = {
        part: [getattr(foundation, f"{part}_{name}") for name in ("width", "layers", "heads", "ffn")]
        for part in ("asr", "llm")
    }
    if foundation.encoder:
        config = known(foundation.encoder, ENCODERS, whisper)
        extractor = type(extractor)(feature_size=config.num_mel_bins)
    else:
        config = foundation_asr.build_whisper(tokenizer, extractor.feature_size, *shape["asr"]).config
    talker = (
        known(foundation.llm, LLMS, Qwen2Config)
        if foundation.llm
        else foundation_llm.build_llm(tokenizer, *shape["llm"]).config
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(PartialState().device):
            made = WhisperEncoder(config), AutoModelForCausalLM.from_config(talker, dtype=dtype)
    finally:
        torch.set_default_dtype(before)
    for part, kept in (("asr", (config, extractor)), ("llm", (talker, tokenizer))):
        for one in kept:
            one.save_pretrained(folder / part)
    return made


def clips(folder: Path, settings, seconds: float) -> list[dict]:
    """Rows for one update, all of one clip of noise, each with a sentence of its own and some forty words in reply."""
    import numpy as np
    import soundfile

    from blsp_core.data.audio import SAMPLE_RATE
    from blsp_core.data.manifest import EMOTIONS

    path = folder / "noise.wav"
    noise = np.random.default_rng(0).normal(0, 0.05, int(seconds * SAMPLE_RATE))
    soundfile.write(path, noise, SAMPLE_RATE)
    row = {"audio": path.name, "duration": seconds, "instruction": "", "early_stop": False}
    row["output"] = "well, my sister talked about the kitchen today. " * 5
    count = settings.batch_size * settings.gradient_accumulation
    rng, words = np.random.default_rng(1), row["output"].split()
    said = [" ".join(rng.choice(words, size=max(3, int(2.5 * seconds)))) for _ in range(count)]
    return [{**row, "text": text, "emotion": EMOTIONS[i % len(EMOTIONS)]} for i, text in enumerate(said)]


def cost(model, data, loss, settings, updates: int, folder: Path) -> dict:
    """What some updates cost: the first apart, in which memory is laid out."""
    import pandas as pd
    import torch

    from blsp_core.data.dataset import collate
    from blsp_core.study import record
    from blsp_core.training.trainer import train

    names = ("batch_size", "gradient_accumulation", "learning_rate", "muon", "warmup_share")
    schedule = {name: getattr(settings, name) for name in names}
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    log = folder / "log.csv"
    train(
        model, data, collate, loss, steps=updates, **schedule, seed=1, log_steps=1, checkpoints=folder / "ck", log=log
    )
    spent = float((len(data) / pd.read_csv(log)["samples_per_second"].iloc[1:]).median())
    memory = record.peak_memory()
    return {
        "utterances an update": len(data),
        "seconds an update": round(spent, 3),
        "hours for all updates": round(spent * settings.steps / 3600, 2),
        "updates": settings.steps,
        "most memory, GB": memory.get("peak_gpu_memory_gb", memory.get("peak_memory_gb")),
    }


def main() -> None:
    app()


if __name__ == "__main__":
    main()
