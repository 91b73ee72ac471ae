"""The LLM of the miniature: a small Qwen2 raised from scratch on the grammar, in the chat form of its big relatives."""

import random
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from blsp_core.study import diet
from blsp_core.study.training import train
from blsp_core.study.vocabulary import TURN_END, TURN_START


def build_llm(tokenizer: Qwen2Tokenizer, width: int, layers: int, heads: int, ffn: int) -> Qwen2ForCausalLM:
    """A Qwen2 with random weights over the tokenizer's vocabulary, embeddings tied."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            intermediate_size=ffn,
            max_position_embeddings=1024,
            initializer_range=width**-0.5,  # Qwen's 0.02 suits its widths; here it would cost half the training
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


# What tells one task from another in the instructions.
_ORDERS = "Continue following coherent style reflects conveyed identify Repeat Select options"


class Diet(Dataset):
    """Examples of the diet as token ids, drawn anew for every index: (seed, index) decides all.

    Speech will never sit exactly on the embeddings of words, so the LLM reads through noise: each sentence gets a
    level of up to `noise` standard deviations. On half of the sentences a word of an instruction lies besides and means
    nothing there: what is to be done, the instruction alone says. The first quarter of the examples are read as they
    are.
    """

    def __init__(self, tokenizer: Qwen2Tokenizer, size: int, noise: float, seed: int):
        self.tokenizer, self.size, self.noise, self.seed = tokenizer, size, noise, seed
        self.known: dict[str, list[int]] = {}
        self.distractors = self._ids(_ORDERS)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        rng = random.Random(self.seed * 1_000_003 + index)
        noise = 0.0 if index < self.size // 4 else rng.uniform(0, self.noise)
        return self.encode(diet.draw_example(rng, "train"), rng, noise)

    def encode(self, example: diet.Example, rng: random.Random, noise: float = 0.0) -> dict:
        """input_ids and labels; per token how strong noise and blended marker are; the marker's id."""
        before = f"{TURN_START}system\n{example.system}{TURN_END}\n{TURN_START}user\n{example.instruction}".rstrip(" ")
        blank = " " if example.instruction else ""
        before_ids, said = self._ids(before), self._words(blank + example.sentence)
        after = self._ids(f"{TURN_END}\n{TURN_START}assistant\n")
        answer = [*self._words(example.answer), self.tokenizer.eos_token_id]
        strength, density = rng.uniform(0.4, 1.2) if example.blend else 0.0, rng.uniform(0.3, 1.0)
        blend = [strength if rng.random() < density else 0.0 for _ in said]
        rest = [0.0] * (len(after) + len(answer))
        return {
            "input_ids": before_ids + said + after + answer,
            "labels": [-100] * (len(before_ids) + len(said) + len(after)) + answer,
            "noise": [0.0] * len(before_ids) + [noise] * len(said) + rest,
            "blend": [0.0] * len(before_ids) + blend + rest,
            "marker": self._ids(" " + example.blend)[0] if example.blend else 0,
            "distractor": rng.choice(self.distractors),
            "distraction": 1.5 * noise * (rng.random() < 0.5),
        }

    def _words(self, text: str) -> list[int]:
        words = text.split(" ")
        return [token for i, word in enumerate(words) if word for token in self._ids(" " * (i > 0) + word)]

    def _ids(self, text: str) -> list[int]:
        if text not in self.known:
            self.known[text] = self.tokenizer(text, add_special_tokens=False).input_ids
        return self.known[text]


def preview(seed: int, count: int) -> list[dict[str, str]]:
    """Some examples of the diet for people to read; a marker that is laid over the words stands in brackets."""
    rng = random.Random(f"{seed} preview")
    drawn = [diet.draw_example(rng, "train") for _ in range(count)]
    return [
        {
            "task": example.task,
            "instruction": example.instruction.strip(),
            "sentence": example.sentence + (f" [{example.blend}]" if example.blend else ""),
            "answer": example.answer,
        }
        for example in drawn
    ]


def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    """Right-padded tensors (B, T); markers (B,)."""
    fill = {"input_ids": 0, "labels": -100, "noise": 0.0, "blend": 0.0}
    batch = {
        name: torch.nn.utils.rnn.pad_sequence([torch.tensor(row[name]) for row in rows], True, value)
        for name, value in fill.items()
    }
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    batch["attention_mask"] = (torch.arange(int(lengths.max()))[None] < lengths[:, None]).long()
    for name in ("marker", "distractor", "distraction"):
        batch[name] = torch.tensor([row[name] for row in rows])
    return batch


def reading_loss(model, batch) -> dict[str, torch.Tensor]:
    """Cross-entropy of the answer, the sentence disturbed by noise and blended with its marker."""
    table = model.get_input_embeddings()
    embeds = table(batch["input_ids"])
    noise = torch.randn_like(embeds) * embeds.detach().std() * batch["noise"][..., None]
    distraction = (batch["noise"] > 0) * batch["distraction"][:, None]
    embeds = embeds + noise + distraction[..., None] * table(batch["distractor"])[:, None]
    embeds = embeds + batch["blend"][..., None] * table(batch["marker"])[:, None]
    hidden = model.model(inputs_embeds=embeds, attention_mask=batch["attention_mask"]).last_hidden_state
    answers = batch["labels"][:, 1:] != -100
    logits = model.lm_head(hidden[:, :-1][answers])
    return {"answer_ce": torch.nn.functional.cross_entropy(logits.float(), batch["labels"][:, 1:][answers])}


def train_llm(
    tokenizer,
    model,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    noise: float,
    seed: int,
    checkpoints: Path,
    log: Path,
    save_steps: int = 0,
) -> dict[str, float]:
    """Raise the LLM on the diet; returns the cost of the run."""
    return train(
        model,
        Diet(tokenizer, steps * batch_size, noise, seed),
        collate,
        reading_loss,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        checkpoints=checkpoints,
        log=log,
        weight_decay=0.01,
        shuffle=False,
        save_steps=save_steps,
    )
