"""The toy LLM: a small Qwen2, trained from scratch on instruction data of the toy language."""

import random
from functools import cache

import torch
from torch.utils.data import Dataset
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from blsp_core.data.dataset import pad
from blsp_core.toy.instruction_data import Example, Turn, draw_example
from blsp_core.toy.lexicon import MARKERS
from blsp_core.toy.tokenizer import TURN_END, TURN_START
from blsp_core.training.trainer import train


def build_llm(tokenizer: Qwen2Tokenizer, width: int, layers: int, heads: int, ffn: int) -> Qwen2ForCausalLM:
    """A Qwen2 with random weights over the tokenizer's vocabulary, embeddings tied."""
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=heads, intermediate_size=ffn, max_position_embeddings=1024, tie_word_embeddings=True,
        initializer_range=width**-0.5,  # Qwen's 0.02 is for its widths; here it would double the training
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return Qwen2ForCausalLM(config)


# What a row has for every token, and its default: at padding, and where text stays text. Embeddings are multiplied by
# `strength`; two markers are added to them.
FILL = {
    "input_ids": 0, "labels": -100, "noise": 0.0, "strength": 1.0,
    "marker_strength": 0.0, "marker": 0, "second_strength": 0.0, "second": 0,
}  # fmt: skip
_POOL = 16  # batches that are drawn together, so that rows of similar length share one
_CLEAN = 0.15  # share of the rows, the first ones, without noise
_COMMON = 0.8  # noise that all positions of a row share, relative to that of each
_UNEVEN = 0.6  # by which share the strength of a marker varies between positions
_SECOND = 0.4  # share of the blended rows with a second, weaker marker


class InstructionData(Dataset):
    """Instruction data as token ids, in the order of training; seed and index determine every row.

    Sixteen batches are drawn together, their rows sorted by length and the batches shuffled: in random order 40 % of
    the positions would be padding. Speech embeddings are noisy word embeddings, and a word has several of them. So the
    LLM reads with noise of up to `noise` standard deviations, part of it common to the whole row, and of the rows with
    noise a share is `lengthened`: a word takes several positions, strong in one and weak in the others.
    drawn: `other` and `blended` of `draw_example`.
    """

    def __init__(
        self, tokenizer: Qwen2Tokenizer, batches: int, batch_size: int, noise: float, seed: int,
        lengthened: float = 0.7, **drawn,
    ):  # fmt: skip
        self.lengthened, self.drawn = lengthened, drawn
        self.size, self.batch_size, self.noise, self.seed = batches * batch_size, batch_size, noise, seed
        self.end = tokenizer.eos_token_id
        self.ids = cache(lambda text: tokenizer(text, add_special_tokens=False).input_ids)
        self.pool: tuple[int, list[dict]] = (-1, [])

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        number, place = divmod(index, _POOL * self.batch_size)
        if self.pool[0] != number:
            first = index - place
            rows = [self.draw(i) for i in range(first, min(first + _POOL * self.batch_size, self.size))]
            rows.sort(key=lambda row: len(row["input_ids"]))
            batches = [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
            random.Random(f"{self.seed} {number}").shuffle(batches)
            self.pool = number, sum(batches, [])
        return self.pool[1][place]

    def draw(self, index: int) -> dict:
        """One example, encoded."""
        rng = random.Random(self.seed * 1_000_003 + index)
        example = draw_example(rng, "train", **self.drawn)
        noise = 0.0 if index < _CLEAN * self.size or example.written else rng.uniform(0, self.noise)
        return self.encode(example, rng, noise, noise > 0 and rng.random() < self.lengthened)

    def encode(self, example: Example, rng: random.Random, noise: float = 0.0, lengthened: bool = False) -> dict:
        """The fields of `FILL` for every token; `noise` in standard deviations of the embeddings."""
        tokens = self._written(f"{TURN_START}system\n{example.system}{TURN_END}\n")
        for turn in example.earlier:
            tokens += self._written(f"{TURN_START}{turn.role}\n")
            spoken = turn.role == "user"
            tokens += self._spoken(turn, rng, noise, lengthened) if spoken else self._written(turn.text)
            tokens += self._written(f"{TURN_END}\n")
        tokens += self._written(f"{TURN_START}user\n{example.instruction}".rstrip(" "))
        blank = " " if example.instruction else ""
        tokens += self._spoken(Turn("user", blank + example.sentence, example.blend), rng, noise, lengthened)
        tokens += self._written(f"{TURN_END}\n{TURN_START}assistant\n")
        tokens += [{"input_ids": i, "labels": i} for i in [*self._words(example.answer), self.end]]
        return {name: [token.get(name, default) for token in tokens] for name, default in FILL.items()}

    def _written(self, text: str) -> list[dict]:
        """Tokens that stay text when speech replaces the sentence."""
        return [{"input_ids": i} for i in self.ids(text)]

    def _spoken(self, turn: Turn, rng: random.Random, noise: float, lengthened: bool) -> list[dict]:
        """Tokens that speech will replace: with noise, lengthened, and with markers added to some of them.

        The strength of an emotion varies between words, and voices are often ambiguous: a second, weaker marker makes
        every instruction depend on the stronger of two.
        """
        strength, density = rng.uniform(0.3, 1.8) if turn.blend else 0.0, rng.uniform(0.3, 1.0)
        marker = self.ids(" " + turn.blend)[0] if turn.blend else 0
        second, second_strength = 0, 0.0
        if turn.blend and rng.random() < _SECOND:
            second_strength = strength * rng.uniform(0.2, 0.7)
            second = self.ids(" " + rng.choice([other for other in MARKERS.values() if other != turn.blend]))[0]
        places = [(i, share) for i in self._words(turn.text) for share in (_shares(rng) if lengthened else (1.0,))]
        tokens = []
        for i, share in places:
            token = {"input_ids": i, "noise": noise, "strength": share}
            if rng.random() < density:
                token |= {"marker": marker, "marker_strength": strength * _uneven(rng)}
                token |= {"second": second, "second_strength": second_strength * _uneven(rng)}
            tokens.append(token)
        return tokens

    def _words(self, text: str) -> list[int]:
        words = text.split(" ")
        return [token for i, word in enumerate(words) if word for token in self.ids(" " * (i > 0) + word)]


def _uneven(rng: random.Random) -> float:
    return rng.uniform(1 - _UNEVEN, 1 + _UNEVEN)


def _shares(rng: random.Random) -> list[float]:
    """The strength of a word at each of the positions that it lasts over."""
    count = rng.choice([1, 1, 2, 2, 3])
    best = rng.randrange(count)
    strengths = [rng.uniform(0.8, 1.2) if place == best else rng.uniform(0, 0.6) for place in range(count)]
    return strengths + [0.0] * (rng.random() < 0.2)


def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    """Right-padded tensors (B, T)."""
    padded = {name: pad([torch.tensor(row[name]) for row in rows], value) for name, value in FILL.items()}
    return {name: values for name, (values, _) in padded.items()} | {"attention_mask": padded["input_ids"][1]}


def reading_loss(model, batch) -> dict[str, torch.Tensor]:
    """Cross-entropy of the answer, given the sentence with noise and markers added to its embeddings."""
    table = model.get_input_embeddings()
    embeds = table(batch["input_ids"])  # (B, T, width)
    own, common = torch.randn_like(embeds), torch.randn_like(embeds[:, :1])
    noise = (own + _COMMON * common) * embeds.detach().std() * batch["noise"][..., None]
    first, second = (batch[f"{name}_strength"][..., None] * table(batch[name]) for name in ("marker", "second"))
    embeds = batch["strength"][..., None] * embeds + (first + second) + noise
    hidden = model.model(inputs_embeds=embeds, attention_mask=batch["attention_mask"]).last_hidden_state
    answers = batch["labels"][:, 1:] != -100
    logits = model.lm_head(hidden[:, :-1][answers])
    return {
        "answer_ce": torch.nn.functional.cross_entropy(logits.float(), batch["labels"][:, 1:][answers]),
        "share_padding": 1 - batch["attention_mask"].float().mean(),
    }


def train_llm(
    tokenizer, model, *, steps: int, batch_size: int, noise: float, lengthened: float, blended: float, seed: int,
    other: bool = False, **options,
) -> dict[str, float]:  # fmt: skip
    """Train the LLM on instruction data, see `InstructionData`; `options` are those of `training.trainer.train`.
    Returns the cost."""
    how = {"lengthened": lengthened, "blended": blended, "other": other}
    data = InstructionData(tokenizer, steps, batch_size, noise, seed, **how)
    options |= {"steps": steps, "batch_size": batch_size, "seed": seed}
    return train(model, data, collate, reading_loss, weight_decay=0.2, shuffle=False, optimizer="muon", **options)
