"""What `blsp-bench` measures: steps of training, continuations, log-mels, and the time to the first token."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import torch
from transformers import Qwen2Config, WhisperConfig, WhisperFeatureExtractor

from blsp_core.bench import plain
from blsp_core.data import prompts
from blsp_core.data.dataset import IGNORED, Sound, collate
from blsp_core.data.emotions import EMOTIONS
from blsp_core.inference.batches import GREEDY, ready
from blsp_core.inference.greedy import greedy
from blsp_core.inference.llm import answer, decode, end_tokens
from blsp_core.model import BlspEmoConfig, BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.audio import SAMPLE_RATE
from blsp_core.model.lora import is_lora
from blsp_core.model.templates import render
from blsp_core.training.objectives import EmotionAlignment, SemanticAlignment

PLAIN = "plain reference"
PADDED, REAL = "30 s encoded", "real frames"
KEPT, TOP = "real frames, teacher's states kept", "real frames, teacher's top 64 kept"
RELEASED_BATCH = 4  # prompts a batch in the released code's emotion_text_generation.py
SENTENCE = (
    ("my sister", "he", "the old man next door", "i"),
    ("painted", "will never find", "has lost", "asked me about"),
    ("the door", "a letter", "the dog of the family", "her new piano"),
    ("at home", "in the garden yesterday evening", "again", "before we could say a word about it"),
)
SETTINGS = {"emotion_weight": 1.0}  # of stage 2


@dataclass(frozen=True)
class Sizes:
    """Of a model with random weights, and of its batch. The default is that at which the released code was measured."""

    vocabulary: int = 151936
    width: int = 512
    layers: int = 4
    heads: int = 8
    ffn: int = 1376
    encoder_width: int = 384
    encoder_layers: int = 4
    encoder_heads: int = 6
    encoder_ffn: int = 1536
    window: int = 1500  # frames that the encoder reads, of 20 ms
    inner_dim: int = 512
    seconds: tuple[float, ...] = (4.4, 4.0, 3.8, 3.6)  # of the clips of a batch
    before: int = 25  # tokens of the prompt before the speech
    after: int = 5
    transcript: tuple[int, ...] = (14, 13, 11, 10)
    response: int = 64


TINY = Sizes(300, 32, 2, 2, 64, 32, 2, 2, 64, 400, 16, (2.0, 1.5), 6, 3, (5, 4), 8)


def make_model(sizes: Sizes) -> BlspEmoForConditionalGeneration:
    """A model of these sizes with random weights, partial LoRA of rank 16 in it; the placeholder is its last token."""
    torch.manual_seed(0)
    encoder = WhisperConfig(
        d_model=sizes.encoder_width, encoder_layers=sizes.encoder_layers, encoder_ffn_dim=sizes.encoder_ffn,
        encoder_attention_heads=sizes.encoder_heads, max_source_positions=sizes.window,
    )  # fmt: skip
    llm = Qwen2Config(
        vocab_size=sizes.vocabulary, hidden_size=sizes.width, num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads, num_key_value_heads=sizes.heads, intermediate_size=sizes.ffn,
        tie_word_embeddings=False,
    )  # fmt: skip
    config = BlspEmoConfig(
        encoder_config=encoder, llm_config=llm, adapter={"type": "convolution", "inner_dim": sizes.inner_dim},
        lora_rank=16, lora_dropout=0.0, speech_token_id=sizes.vocabulary - 1,
    )  # fmt: skip
    model = BlspEmoForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if is_lora(name):
            torch.nn.init.normal_(weight, std=0.02)
        elif name.startswith("llm.") and weight.ndim > 1:  # as large as in the parity tests, so that a KL is not near 0
            torch.nn.init.normal_(weight, std=(2.5 if "lm_head" in name else 1.0) * weight.shape[1] ** -0.5)
    return ready(model)


def make_examples(sizes: Sizes) -> list[plain.Example]:
    """A batch of random tokens and log-mels."""
    draw = np.random.default_rng(0)

    def tokens(count: int) -> list[int]:
        return draw.integers(0, sizes.vocabulary - 1, count).tolist()

    before, after = tokens(sizes.before), tokens(sizes.after)
    return [
        plain.Example(
            before, tokens(transcript), after, tokens(sizes.response),
            torch.from_numpy(draw.normal(0, 0.5, (80, round(seconds * 100))).astype(np.float32)), place % len(EMOTIONS),
        )
        for place, (seconds, transcript) in enumerate(zip(sizes.seconds, sizes.transcript, strict=True))
    ]  # fmt: skip


def our_batch(model: BlspEmoForConditionalGeneration, examples: list[plain.Example], real_frames: bool = True) -> dict:
    """The examples as the collator of training makes them. real_frames: False pads the log-mels to the window."""
    window = 2 * model.config.encoder_config.max_source_positions
    items = []
    for place, example in enumerate(examples):
        frames = example.features.shape[1]
        count = int(model.adapter.output_lengths((frames + 1) // 2, model.adapter.kernel_sizes))
        padding = 0 if real_frames else window - frames
        sound = Sound(torch.nn.functional.pad(example.features, (0, padding)), frames)
        item = {"id": str(place), "emotion": example.emotion, "sound": sound}
        middles = {"speech": [model.config.speech_token_id] * count, "text": example.transcript}
        for side, middle in middles.items():
            prompt = example.before + middle + example.after
            item |= {
                f"{side}_prefix": len(example.before),
                f"{side}_ids": prompt + example.response,
                f"{side}_labels": [IGNORED] * len(prompt) + example.response,
            }
        items.append(item)
    batch = collate(items)
    return {name: value.to(model.device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def training_steps(stage: str, sizes: Sizes) -> tuple[dict[str, Callable[[], None]], dict]:
    """One step each of a stage, as name -> function; and how far loss and gradients are from the reference where the
    change is exact."""
    model, examples = make_model(sizes), make_examples(sizes)
    semantic = stage == "stage 1"
    model.set_trainable(adapter=True, lora=not semantic, head=not semantic)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4 if semantic else 2e-5, weight_decay=0.05)
    batches = {real: our_batch(model, examples, real) for real in (True, False)}
    reference = plain.stage1_loss if semantic else plain.stage2_loss

    def ours(objective) -> torch.Tensor:
        parts = objective(model, batches[model.config.real_frames])
        return sum(part for name, part in parts.items() if not name.startswith("share_"))

    def slope(loss: Callable[[], torch.Tensor], real_frames: bool = False) -> torch.Tensor:
        model.config.real_frames = real_frames
        optimizer.zero_grad()
        found = loss()
        found.backward()
        return found.detach()

    def step(*of) -> None:
        slope(*of)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    objective = SemanticAlignment(2.0) if semantic else EmotionAlignment(SETTINGS)
    plainly, exactly = partial(reference, model, examples), partial(ours, objective)
    (loss, gradient), (other, others) = (
        (slope(found), torch.cat([weight.grad.flatten() for weight in trained])) for found in (plainly, exactly)
    )  # real frames change what the encoder computes
    apart = {"loss": abs(float((loss - other) / loss)), "gradient": float((gradient - others).norm() / gradient.norm())}
    steps = {PLAIN: partial(step, plainly), PADDED: partial(step, exactly), REAL: partial(step, exactly, True)}
    if semantic:
        for name, kept in {KEPT: SemanticAlignment(2.0), TOP: SemanticAlignment(2.0, top=64)}.items():
            kept.keep(model, batches[True])
            steps[name] = partial(step, partial(ours, kept), True)
    return steps, apart


def continuations(
    llm: torch.nn.Module, tokenizer, count: int, max_new_tokens: int
) -> tuple[dict[str, Callable], dict[str, list[str]]]:
    """Continuations of `count` sentences as the released code writes them, and as the pipeline does, in batches; and
    the texts that each has written last."""
    sentences = [" ".join(words) for words in product(*SENTENCE)]
    chats = [prompts.chat(prompts.SYSTEM, prompts.CONTINUE + one) for one in sentences[:: len(sentences) // count]]
    chats = chats[:count]

    def released() -> list[str]:
        texts, ends = [], end_tokens(llm, tokenizer)
        for start in range(0, len(chats), RELEASED_BATCH):
            ids = [
                tokenizer(render(tokenizer, chat, add_generation_prompt=True), add_special_tokens=False).input_ids
                for chat in chats[start : start + RELEASED_BATCH]
            ]
            inputs = tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt").to(llm.device)
            with torch.no_grad():
                new = llm.generate(**inputs, **GREEDY, max_new_tokens=max_new_tokens, eos_token_id=ends)
            texts += [decode(tokenizer, row, ends).text for row in new[:, inputs["input_ids"].shape[1] :]]
        return texts

    def ours(size: int) -> list[str]:
        return [found.text for found in answer(llm, tokenizer, chats, max_new_tokens, size)]

    answer(llm, tokenizer, chats[:1], 1, 1)  # whatever is done once
    texts: dict[str, list[str]] = {}
    functions = {PLAIN: released} | {f"batches of {size}": partial(ours, size) for size in (4, 64)}

    def kept(name: str) -> None:
        texts[name] = functions[name]()

    return {name: partial(kept, name) for name in functions}, texts


def log_mels(tokenizer, seconds: float, count: int = 16) -> dict[str, Callable]:
    """Log-mels of clips, one at a time as in training: padded to 30 s, and as the processor makes them."""
    extractor = WhisperFeatureExtractor()
    processor = BlspEmoProcessor(extractor, tokenizer)
    sounds = np.random.default_rng(0).normal(0, 0.1, (count, round(seconds * SAMPLE_RATE))).astype(np.float32)
    return {
        PLAIN: lambda: [extractor(sound, sampling_rate=SAMPLE_RATE) for sound in sounds],
        REAL: lambda: [processor.features([sound]) for sound in sounds],
    }


def first_token(sizes: Sizes) -> dict[str, Callable]:
    """The first token of the reply to one clip, from its log-mel: `generate` after 30 s encoded; and ours."""
    model, examples = make_model(sizes), make_examples(sizes)[:1]
    prompt = our_batch(model, [replace(examples[0], response=[])])
    inputs = {"input_ids": prompt["speech_ids"], "attention_mask": prompt["speech_mask"]}
    features = {name: prompt[name] for name in ("input_features", "feature_attention_mask")}
    padded = our_batch(model, [replace(examples[0], response=[])], real_frames=False)
    whole = {name: padded[name] for name in features}

    def plainly() -> torch.Tensor:
        model.config.real_frames = False
        with torch.no_grad():
            return model.generate(**inputs, **whole, **GREEDY, max_new_tokens=1)

    def ours() -> torch.Tensor:
        model.config.real_frames = True
        return greedy(model, inputs | features, 1, [0])[0]

    return {PLAIN: plainly, REAL: ours}
