"""The paper's Figure 2, drawn by code: what the two stages join, what each of them trains, and by which loss."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from blsp_core.report.style import WIDTH

FROZEN = {"facecolor": "#eceff1", "edgecolor": "#607d8b", "linestyle": (0, (3, 2)), "linewidth": 1.0}
TRAINED = {"facecolor": "#fbd5c8", "edgecolor": "#b2182b", "linestyle": "-", "linewidth": 1.6}
PLAIN = {"facecolor": "white", "edgecolor": "#888888", "linestyle": "-", "linewidth": 0.7}
LOSS = {"facecolor": "#fff6d6", "edgecolor": "#a07800", "linestyle": "-", "linewidth": 0.9}


@dataclass(frozen=True)
class Recipe:
    """What the drawing says in numbers; the defaults are the paper's."""

    convolutions: int = 3
    lora_rank: int = 16
    temperature: float = 2.0
    train_encoder: bool = True
    emotion_weight: float = 1.0
    head_words: bool = False
    head_learns: bool = True
    encoder_layers: str = "last"

    @classmethod
    def of(cls, stage1: Mapping, stage2: Mapping) -> "Recipe":
        """The recipe of the settings of two runs, as their results files record them."""
        own = {name: stage2[name] for name in ("lora_rank", "train_encoder", "emotion_weight")}
        own |= {"head_words": bool(stage2.get("head_words")), "encoder_layers": stage1.get("encoder_layers", "last")}
        own["head_learns"] = stage2.get("head_learns", not own["head_words"])  # older results do not say it
        return cls(len(stage1["adapter_kernel_sizes"]), temperature=stage1["temperature"], **own)


def method(recipe: Recipe) -> Figure:
    """Stage 1 on the left, stage 2 on the right, speech at the bottom and losses at the top.

    A solid border stands for what is trained, a dashed one for what is frozen.
    """
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.1))
    for axis in axes:
        axis.set(xlim=(0, 100), ylim=(0, 122))
        axis.axis("off")
    _stage1(axes[0], recipe)
    _stage2(axes[1], recipe)
    marks = [FancyBboxPatch((0, 0), 1, 1, **look) for look in (TRAINED, FROZEN, LOSS)]
    fig.legend(marks, ["trained", "frozen", "loss"], loc="outside lower center", ncols=3, handlelength=1.6)
    return fig


def _stage1(axis: Axes, recipe: Recipe) -> None:
    axis.set_title("Stage 1: semantic alignment")
    _hearing(axis, recipe, train_encoder=False)
    _box(axis, 27, 84, 50, 15, "LLM", FROZEN)
    _box(axis, 78, 84, 42, 15, "the same LLM", FROZEN)
    _box(axis, 78, 58, 42, 11, "the same words before\nthe transcript", PLAIN, size=6.3)
    _box(axis, 27, 58, 50, 11, "“Continue the following\nsentence …”: [speech]", PLAIN, size=6.3)
    for x in (27, 78):
        _arrow(axis, (x, 63.5), (x, 76.5))
        _arrow(axis, (x, 91.5), (x, 103))
    _note(axis, 29, 97, "next word,\ngiven speech")
    _note(axis, 80, 97, "next word,\ngiven text")
    _box(axis, 50, 112, 98, 16, f"KL over the words of the continuation (T = {recipe.temperature:g})\nanswer speech "
         "as you answer its transcript", LOSS, size=6.8)  # fmt: skip


def _stage2(axis: Axes, recipe: Recipe) -> None:
    axis.set_title("Stage 2: emotion alignment")
    _hearing(axis, recipe, recipe.train_encoder)
    _box(axis, 27, 84, 50, 17, "", FROZEN)
    axis.text(11 if recipe.lora_rank else 27, 84, "LLM", ha="center", va="center", fontsize=7.5)
    if recipe.lora_rank:
        words = f"partial LoRA,\nrank {recipe.lora_rank}, at\nspeech only"
        _box(axis, 34.5, 84, 30, 14, words, TRAINED, size=6)
    _box(axis, 27, 58, 50, 11, "“Continue … based on the\nconveyed tone …”: [speech]", PLAIN, size=6.3)
    _arrow(axis, (27, 63.5), (27, 76.5))
    _arrow(axis, (27, 91.5), (27, 103))
    if recipe.emotion_weight:
        words, size = "mean over time,\nlinear head", 7.5
        if recipe.head_words:
            words, size = "mean over time, linear head\nfrom the LLM's own words", 6.3
        _box(axis, 78, 84, 42, 15, words, TRAINED if recipe.head_learns else FROZEN, size)
        axis.plot([52.5, 78, 78], [35, 35, 75], color="#444444", linewidth=0.9)
        _arrow(axis, (78, 70), (78, 76.5))
        _arrow(axis, (78, 91.5), (78, 103))
        weight = "" if recipe.emotion_weight == 1 else f"{recipe.emotion_weight:g} × "
        _box(axis, 78, 112, 42, 16, f"{weight}cross-entropy\nof the emotion", LOSS, size=6.8)
    _box(
        axis, 27, 112, 50, 16, "cross-entropy of what the\nLLM itself wrote, told the\nemotion in words", LOSS, size=6.8
    )


def _hearing(axis: Axes, recipe: Recipe, train_encoder: bool) -> None:
    """Speech, encoder and adapter, at the foot of both stages."""
    kernels = f"adapter: {recipe.convolutions} convolutions, stride 2"
    places, loud = _wave(27, 40)
    axis.fill_between(places, 4 - loud, 4 + loud, color="#666666", linewidth=0)
    _box(axis, 27, 17, 50, 10, "Whisper encoder", TRAINED if train_encoder else FROZEN)
    _box(axis, 27, 35, 50, 10, kernels, TRAINED, size=6.3)
    _arrow(axis, (27, 7.5), (27, 12))
    _arrow(axis, (27, 22), (27, 30))
    _arrow(axis, (27, 40), (27, 52.5))
    _note(axis, 29, 45.5, "speech embeddings")
    if recipe.encoder_layers != "last":
        layers = {"mix": "mean of all layers", "last+mix": "last layer, and\nmean of all"}[recipe.encoder_layers]
        _note(axis, 29, 26, layers)


def _wave(x: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The outline of a few syllables for the eye, nobody's voice: places around x, and half heights."""
    time = np.linspace(0, 1, 400)
    syllables = np.abs(np.sin(4.5 * np.pi * time)) * (0.55 + 0.45 * np.sin(7 * time + 1))
    return x + width * (time - 0.5), 0.15 + 3.2 * syllables * np.abs(np.cos(160 * time))


def _box(
    axis: Axes, x: float, y: float, width: float, height: float, words: str, look: dict, size: float = 7.5
) -> None:
    """A box around its centre."""
    corner = (x - width / 2, y - height / 2)
    axis.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=2", **look))
    axis.text(x, y, words, ha="center", va="center", fontsize=size, linespacing=1.25)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=7, linewidth=0.9, color="#444444"))


def _note(axis: Axes, x: float, y: float, words: str) -> None:
    axis.text(x, y, words, ha="left", va="center", fontsize=6, style="italic", color="#444444")
