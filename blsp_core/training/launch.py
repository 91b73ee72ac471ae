"""A run of stage 1 or stage 2: in this process on one device; on several, a process for each (see `processes`)."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import PartialState
from safetensors.torch import load_file, save_file

from blsp_core import processes
from blsp_core.data.dataset import SpeechTextDataset, collate
from blsp_core.data.manifest import Utterance
from blsp_core.inference.batches import backbone_precision, ready
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.training import objectives
from blsp_core.training.callbacks import EmotionWords
from blsp_core.training.held_out import HeldOut
from blsp_core.training.trainer import train


def fit(
    model: BlspEmoForConditionalGeneration, data: SpeechTextDataset, objective, *, held_out: Sequence[dict] = (),
    states: bool = False, teacher: bool = False, words: tuple[list[Utterance], Path] | None = None, **options
) -> dict:  # fmt: skip
    """`trainer.train` of the model on `data`; returns its cost.

    held_out: rows like those of `data`, for the validation loss. states: the frozen encoder reads all clips before the
    first update, and not again in every one. teacher: the same for what stage 1's teacher says of the responses
    (`SemanticAlignment.keep_teacher`). words: the utterances and the CSV of `EmotionWords`. options: of
    `trainer.train`.
    """
    if processes.devices() == 1:
        return _fit(model, data, objective, held_out, states, teacher, words, **options)
    folder = Path(options["checkpoints"]).parent / f"{Path(options['checkpoints']).name}-job"
    for part in (model.cpu(), data.processor):  # the device is left to the processes
        part.save_pretrained(folder)
    job = {"trained": model.trained, "data": (data.rows, data.root.resolve(), data.keep, data.augment)}
    job |= {"fit": (objective, held_out, states, teacher, words), "options": options}
    processes.run(__spec__.name, folder, job)
    model.load_state_dict(load_file(folder / "trained.safetensors"), strict=False)
    ready(model)
    return json.loads((folder / "cost.json").read_text(encoding="utf-8"))


def held_out_losses(
    model: BlspEmoForConditionalGeneration, held_out: SpeechTextDataset | None, log: pd.DataFrame, batch_size: int
) -> pd.DataFrame:
    """Cross-entropy and perplexity of the held-out responses after `speech`, the last that the log of training has, and
    after the `transcript`, which the LLM itself reaches; empty cells for what was not measured."""
    measured = log.filter(items=["validation_response_ce"]).dropna()
    text = HeldOut(held_out, collate, objectives.text_loss, batch_size)(model) if held_out else {}
    found = {"speech": measured.iloc[-1, 0] if len(measured) else None, "transcript": text.get("response_ce")}
    losses = pd.Series(found, dtype=float, name="cross-entropy").rename_axis("response after").to_frame()
    return losses.assign(perplexity=np.exp(losses["cross-entropy"])).round(4)


def _fit(model, data, objective, held_out, states, teacher, words, **options) -> dict:
    validation = SpeechTextDataset(held_out, data.processor, data.root, data.keep) if held_out else None
    for dataset in filter(None, (data, validation)) if states else ():
        dataset.encode_once(model)
    updates = options["steps"] * options["batch_size"] * options.get("gradient_accumulation", 1)
    if teacher and updates >= 2 * len(data):
        objective.keep_teacher(model, data)
    if getattr(objective, "top", 0) and not objective.kept:
        print("teacher_top has no effect: the teacher is not in cache_states, or not asked twice, or needs its logits")
    callbacks = [EmotionWords(words[0], data.processor, data.root, words[1])] if words else []
    options |= {"callbacks": callbacks, "validation": validation, "lengths": data.lengths()}
    cost = train(model, data, collate, objective, **options)
    share = objective.kept_share() if teacher else None
    return cost if share is None else {**cost, "teacher_top_share": share}


def main(folder: Path, job: dict, state: PartialState) -> None:
    """What each process does: the job in `folder`."""
    precision = backbone_precision(job["trained"]["encoder"])
    model = BlspEmoForConditionalGeneration.from_pretrained(folder, **precision)
    model.set_trainable(**job["trained"])
    rows, *how = job["data"]
    data = SpeechTextDataset(rows, BlspEmoProcessor.from_pretrained(folder), *how)
    cost = _fit(ready(model), data, *job["fit"], **job["options"])
    if state.is_main_process:
        trained = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(trained, folder / "trained.safetensors")
        (folder / "cost.json").write_text(json.dumps(cost), encoding="utf-8")


if __name__ == "__main__":
    processes.do(main)
