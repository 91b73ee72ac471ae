"""A run of stage 1 or stage 2: in this process on one device; on several, a process for each (see `processes`)."""

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file

from blsp_core import processes
from blsp_core.data.dataset import SpeechTextDataset, collate
from blsp_core.data.manifest import JsonlRows, Utterance, as_row, of_row, read_jsonl, write_jsonl
from blsp_core.inference.batches import backbone_precision, ready
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.training import objectives
from blsp_core.training.callbacks import EmotionWords
from blsp_core.training.held_out import HeldOut
from blsp_core.training.trainer import train

PARTS = {"adapter": "adapter.", "encoder": "encoder.", "lora": "llm.", "head": "emotion_head."}  # of `set_trainable`


def fit(
    model: BlspEmoForConditionalGeneration, data: SpeechTextDataset, objective, *, held_out: Sequence[dict] = (),
    states: Path | None = None, teacher: bool = False, words: tuple[list[Utterance], Path] | None = None, **options
) -> dict:  # fmt: skip
    """`trainer.train` of the model on `data`; returns its cost.

    held_out: rows like those of `data`, for the validation loss. states: where the frozen encoder's states of all clips
    are kept, made before the first update; None: it runs in every update. teacher: the same for what stage 1's teacher
    says of the responses, which stays in memory (`SemanticAlignment.keep_teacher`). words: the utterances and the CSV
    of `EmotionWords`. options: of `trainer.train`, JSON but for paths.
    """
    if processes.devices() == 1:
        return _fit(model, data, objective, held_out, states, teacher, words, **options)
    folder = Path(options["checkpoints"]).parent / f"{Path(options['checkpoints']).name}-job"
    flags = {
        part: any(p.requires_grad for n, p in model.named_parameters() if n.startswith(PARTS[part])) for part in PARTS
    }
    for part in (model.cpu(), data.processor):  # the device is left to the processes
        part.save_pretrained(folder)
    settings = {field.name: getattr(objective, field.name) for field in fields(objective) if field.init}
    job = {"trained": flags, "objective": [type(objective).__name__, settings], "options": options}
    job |= {"root": data.root.resolve(), "keep": data.keep, "augment": data.augment}
    job |= {"states": states, "teacher": teacher}
    if words:
        job["words"] = words[1]
        write_jsonl(folder / "words.jsonl", map(as_row, words[0]))
    for name, rows in {"rows": data.rows, "held_out": held_out}.items():
        write_jsonl(folder / f"{name}.jsonl", rows)
    (folder / "job.json").write_text(json.dumps(job, default=str), encoding="utf-8")
    processes.run(__spec__.name, folder)
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
    if states:
        with PartialState().main_process_first():  # the others find its files
            for dataset in filter(None, (data, validation)):
                dataset.encode_once(model, states)
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


def main(folder: Path) -> None:
    """What each process does: the job in `folder`."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    state = PartialState(cpu=not torch.cuda.is_available())
    precision = backbone_precision(job["trained"]["encoder"])
    model = BlspEmoForConditionalGeneration.from_pretrained(folder, **precision)
    model.set_trainable(**job["trained"])
    rows, held_out = (JsonlRows(folder / f"{name}.jsonl") for name in ("rows", "held_out"))
    processor = BlspEmoProcessor.from_pretrained(folder)
    data = SpeechTextDataset(rows, processor, Path(job["root"]), job["keep"], job["augment"])
    words = (
        ([of_row(row) for row in read_jsonl(folder / "words.jsonl")], Path(job["words"])) if "words" in job else None
    )
    objective = getattr(objectives, job["objective"][0])(**job["objective"][1])
    options = job["options"] | {name: Path(job["options"][name]) for name in ("checkpoints", "log")}
    cost = _fit(ready(model), data, objective, held_out, job["states"], job["teacher"], words, **options)
    if state.is_main_process:
        trained = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(trained, folder / "trained.safetensors")
        (folder / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    processes.do(main)
