"""The LLM of the miniature: a small Qwen2 raised from scratch on the grammar, in the chat form of its big relatives."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer, TrainerCallback

from blsp_core.toy import instruction_data as diet
from blsp_core.toy.lexicon import MARKERS
from blsp_core.toy.tokenizer import TURN_END, TURN_START
from blsp_core.training.trainer import train


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


# What an example says of every token, and what padding has there.
FILL = {
    "input_ids": 0,
    "labels": -100,
    "noise": 0.0,
    "strength": 1.0,
    "blend": 0.0,
    "marker": 0,
    "faint": 0.0,
    "rival": 0,
}
_POOL = 16  # batches that are drawn together, so that rows of like length share one
_CLEAR = 0.15  # the share of the diet, at its beginning, that is read as it is written
_STRETCHED = 0.7  # of the rest, the share whose words last as spoken words do
_COMMON = 0.8  # noise that all places of an example share, beside that of each
_UNEVEN = 0.6  # by what share a tone is more or less there at one place than at another
_RIVALLED = 0.4  # of what is blended, the share with a second tone, fainter than the first


class Diet(Dataset):
    """Batches of the diet as token ids, row after row, to be read in order: (seed, number of the draw) decides all.

    Sixteen batches are drawn together and their rows put in the order of their lengths, as four places in ten would
    else be padding; then the batches change places.

    Speech will never sit exactly on the embeddings of words, so the LLM reads through noise: each sentence gets a level
    of up to `noise` standard deviations, and on top of it some that all its words share, as an accent. Nor does speech
    bring one vector a word, so most sentences are stretched: a word lasts over several places, of which one holds it
    well, and some places hold nothing.
    """

    def __init__(self, tokenizer: Qwen2Tokenizer, batches: int, batch_size: int, noise: float, seed: int):
        self.tokenizer, self.size, self.batch_size = tokenizer, batches * batch_size, batch_size
        self.noise, self.seed = noise, seed
        self.known: dict[str, list[int]] = {}
        self.pool: tuple[int, list[dict]] = (-1, [])

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        number, place = divmod(index, _POOL * self.batch_size)
        if self.pool[0] != number:
            self.pool = number, self._drawn_together(number)
        return self.pool[1][place]

    def _drawn_together(self, number: int) -> list[dict]:
        first, size = number * _POOL * self.batch_size, self.batch_size
        rows = [self.draw(i) for i in range(first, min(first + _POOL * size, self.size))]
        rows.sort(key=lambda row: len(row["input_ids"]))
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        random.Random(f"{self.seed} {number}").shuffle(batches)
        return sum(batches, [])

    def draw(self, index: int) -> dict:
        """One example, encoded; the first of them are read as they are written."""
        rng = random.Random(self.seed * 1_000_003 + index)
        example = diet.draw_example(rng, "train")
        noise = 0.0 if index < _CLEAR * self.size or example.written else rng.uniform(0, self.noise)
        return self.encode(example, rng, noise, noise > 0 and rng.random() < _STRETCHED)

    def encode(self, example: diet.Example, rng: random.Random, noise: float = 0.0, stretched: bool = False) -> dict:
        """Per token what `FILL` lists: its id and label, the noise on it, how strongly it and a blended marker are
        there, and the marker's id; and the strength and id of a second, fainter marker."""
        tokens = self._read(f"{TURN_START}system\n{example.system}{TURN_END}\n")
        for turn in example.earlier:
            spoken = turn.role == "user"
            said = self._said(turn.text, turn.blend, rng, noise, stretched) if spoken else self._read(turn.text)
            tokens += [*self._read(f"{TURN_START}{turn.role}\n"), *said, *self._read(f"{TURN_END}\n")]
        tokens += self._read(f"{TURN_START}user\n{example.instruction}".rstrip(" "))
        blank = " " if example.instruction else ""
        tokens += self._said(blank + example.sentence, example.blend, rng, noise, stretched)
        tokens += self._read(f"{TURN_END}\n{TURN_START}assistant\n")
        tokens += [
            (i, i, 0.0, 1.0, 0.0, 0, 0.0, 0) for i in (*self._words(example.answer), self.tokenizer.eos_token_id)
        ]
        return dict(zip(FILL, map(list, zip(*tokens, strict=True)), strict=True))

    def _read(self, text: str) -> list[tuple]:
        """Tokens that are read as they are; in the order of `FILL`, as those below."""
        return [(i, -100, 0.0, 1.0, 0.0, 0, 0.0, 0) for i in self._ids(text)]

    def _said(self, text: str, blend: str, rng: random.Random, noise: float, stretched: bool) -> list[tuple]:
        """Tokens that speech will stand for: with noise, stretched, and with a marker blended onto some of them.

        No voice is as much in its tone in one word as in the next, and a voice is rarely one tone alone: often a second
        marker lies fainter beside the first, so that every instruction learns to go by the stronger of two.
        """
        strength, density = rng.uniform(0.3, 1.8) if blend else 0.0, rng.uniform(0.3, 1.0)
        marker = self._ids(" " + blend)[0] if blend else 0
        rivalled = blend and rng.random() < _RIVALLED
        faint = strength * rng.uniform(0.2, 0.7) if rivalled else 0.0
        rival = self._ids(" " + rng.choice([m for m in MARKERS.values() if m != blend]))[0] if rivalled else 0
        places = [(i, here) for i in self._words(text) for here in (_lasting(rng) if stretched else (1.0,))]
        toned = [
            (strength * _uneven(rng), marker, faint * _uneven(rng), rival)
            if rng.random() < density
            else (0.0, 0, 0.0, 0)
            for _ in places
        ]
        return [(i, -100, noise, here, *tone) for (i, here), tone in zip(places, toned, strict=True)]

    def _words(self, text: str) -> list[int]:
        words = text.split(" ")
        return [token for i, word in enumerate(words) if word for token in self._ids(" " * (i > 0) + word)]

    def _ids(self, text: str) -> list[int]:
        if text not in self.known:
            self.known[text] = self.tokenizer(text, add_special_tokens=False).input_ids
        return self.known[text]


def _uneven(rng: random.Random) -> float:
    return rng.uniform(1 - _UNEVEN, 1 + _UNEVEN)


def _lasting(rng: random.Random) -> list[float]:
    """How strongly a word is present in each of the places that it lasts over."""
    count = rng.choice([1, 1, 2, 2, 3])
    best = rng.randrange(count)
    strengths = [rng.uniform(0.8, 1.2) if place == best else rng.uniform(0, 0.6) for place in range(count)]
    return strengths + [0.0] * (rng.random() < 0.2)


def preview(seed: int, count: int) -> list[dict[str, str]]:
    """Some examples of the diet for people to read; a marker that is laid over the words stands in brackets,
    and strokes part the turns of a dialogue."""
    rng = random.Random(f"{seed} preview")
    drawn = [diet.draw_example(rng, "train") for _ in range(count)]
    return [
        {
            "task": example.task,
            "instruction": example.instruction.strip(),
            "sentence": " / ".join(
                turn.text + (f" [{turn.blend}]" if turn.blend else "")
                for turn in (*example.earlier, diet.Turn("user", example.sentence, example.blend))
            ),
            "answer": example.answer,
        }
        for example in drawn
    ]


def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    """Right-padded tensors (B, T)."""
    batch = {
        name: torch.nn.utils.rnn.pad_sequence([torch.tensor(row[name]) for row in rows], True, value)
        for name, value in FILL.items()
    }
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    batch["attention_mask"] = (torch.arange(int(lengths.max()))[None] < lengths[:, None]).long()
    return batch


def reading_loss(model, batch) -> dict[str, torch.Tensor]:
    """Cross-entropy of the answer, the sentence disturbed by noise and blended with its marker."""
    table = model.get_input_embeddings()
    embeds = table(batch["input_ids"])
    own, common = torch.randn_like(embeds), torch.randn_like(embeds[:, :1])
    noise = (own + _COMMON * common) * embeds.detach().std() * batch["noise"][..., None]
    tones = batch["blend"][..., None] * table(batch["marker"]) + batch["faint"][..., None] * table(batch["rival"])
    embeds = batch["strength"][..., None] * embeds + tones + noise
    hidden = model.model(inputs_embeds=embeds, attention_mask=batch["attention_mask"]).last_hidden_state
    answers = batch["labels"][:, 1:] != -100
    logits = model.lm_head(hidden[:, :-1][answers])
    return {
        "answer_ce": torch.nn.functional.cross_entropy(logits.float(), batch["labels"][:, 1:][answers]),
        "share_padding": 1 - batch["attention_mask"].float().mean(),
    }


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
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Raise the LLM on the diet; returns the cost of the run."""
    return train(
        model,
        Diet(tokenizer, steps, batch_size, noise, seed),
        collate,
        reading_loss,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        checkpoints=checkpoints,
        log=log,
        weight_decay=0.2,
        shuffle=False,
        muon=True,
        save_steps=save_steps,
        callbacks=callbacks,
    )
