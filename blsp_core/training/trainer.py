"""One way to train everything in the study: transformers' Trainer, with a log a person can plot and runs that resume.

The Trainer (accelerate under it) finds the device, one GPU where there are any, and takes bf16 there. This file adds
what the study needs: a loss given as a function that names its parts, a CSV log, and checkpoints that hold only what
is trained.
"""

import csv
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset, Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from blsp_core.errors import StudyError
from blsp_core.training.muon import Muon, groups_of

# (model, batch) -> the parts of the loss by name; their sum is minimised, what starts with "share_" is only logged.
LossFunction = Callable[[torch.nn.Module, Mapping], dict[str, torch.Tensor]]


def train(
    model: torch.nn.Module,
    dataset: Dataset,
    collate: Callable,
    loss: LossFunction,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoints: Path,
    log: Path,
    warmup_share: float = 0.1,
    weight_decay: float = 0.05,
    max_grad_norm: float = 1.0,
    schedule: str = "cosine",
    save_steps: int = 0,
    log_steps: int = 10,
    learning_rates: Mapping[str, float] | None = None,
    shuffle: bool = True,
    workers: int = 0,
    gradient_accumulation: int = 1,
    stop_after: int | None = None,
    lengths: Sequence[int] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    muon: bool = False,
) -> dict[str, float]:
    """Train what `requires_grad` in the model for `steps` updates of `batch_size` rows; returns the cost of the run.

    The log gets a CSV row every `log_steps`: step, loss, its parts, learning_rate, padding_share, samples_per_second.
    When `checkpoints` holds an unfinished run it goes on from there; the folder is removed when the run is done.
    `learning_rates` gives parameters whose name begins with a key a rate of their own; `lengths` (of every row) lets
    rows of like length share a batch, see `OfLikeLength`; `callbacks` look on; `stop_after` ends early, as an
    interruption would (for tests). With `muon`, the matrices of layers and adapter learn by it, see `muon.groups_of`.
    """
    on_gpu = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=gradient_accumulation,
        learning_rate=learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=int(warmup_share * steps),
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        seed=seed,
        data_seed=seed,
        bf16=on_gpu,
        logging_steps=min(log_steps, steps),
        logging_nan_inf_filter=False,
        save_strategy="steps" if save_steps else "no",
        save_steps=save_steps or steps,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=bool(os.environ.get("TQDM_DISABLE")),  # the pipeline is quiet, a person sees bars
        remove_unused_columns=False,
        dataloader_num_workers=workers,
        label_names=["labels"],
        train_sampling_strategy="random" if shuffle else "sequential",
        dataloader_pin_memory=on_gpu,
    )
    arguments._n_gpu = min(
        arguments.n_gpu, 1
    )  # or the Trainer would split batches by nn.DataParallel: never tried here
    csv_log = _Log(log, batch_size * gradient_accumulation, stop_after)
    trainer = _StudyTrainer(
        model=model, args=arguments, train_dataset=dataset, data_collator=collate, callbacks=[csv_log, *callbacks]
    )
    trainer.remove_callback(PrinterCallback)
    trainer.loss_parts, trainer.own_rates, trainer.row_lengths = loss, learning_rates or {}, lengths
    trainer.muon = muon
    started = time.perf_counter()
    last = get_last_checkpoint(str(checkpoints)) if Path(checkpoints).is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    if stop_after is None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return {"seconds": time.perf_counter() - started, "steps": trainer.state.global_step}


class OfLikeLength(Sampler):
    """Rows in an order in which those of a batch are of like length, every epoch anew, by the seed.

    Pools of 16 batches are drawn and sorted, then all batches change places: else long clips would come before short
    ones again and again, and as tempo is part of the tone, the sad before the angry.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self):
        generator, size = np.random.default_rng([self.seed, self.epoch]), self.batch_size
        rows = generator.permutation(len(self.lengths)).tolist()
        pools = [sorted(rows[i : i + 16 * size], key=self.lengths.__getitem__) for i in range(0, len(rows), 16 * size)]
        batches = [pool[i : i + size] for pool in pools for i in range(0, len(pool), size)]
        last = [batches.pop()] if len(batches[-1]) < size else []  # a short batch among others would shift them all
        self.epoch += 1
        return iter([row for at in generator.permutation(len(batches)) for row in batches[at]] + sum(last, []))


class _StudyTrainer(Trainer):
    """The Trainer with a loss that names its parts, rates by part of the model, and checkpoints of what is trained."""

    loss_is_scaled_for_ga = False  # a mean over its batch: to be divided by the number of accumulated batches
    loss_parts: LossFunction
    own_rates: Mapping[str, float]
    row_lengths: Sequence[int] | None
    muon: bool

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        parts = self.loss_parts(model, inputs)
        for name, value in parts.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value.detach(), count + 1)
        loss = sum(value for name, value in parts.items() if not name.startswith("share_"))
        return (loss, parts) if return_outputs else loss

    @property
    def sums(self) -> dict:
        return self.__dict__.setdefault("_sums", {})

    def log(self, logs, start_time=None):
        logs.update({name: float(total / count) for name, (total, count) in self.sums.items()})
        self.sums.clear()
        super().log(logs, start_time)

    def create_optimizer(self, model=None):
        if self.optimizer is None:
            rates = self.args.learning_rate, self.own_rates
            groups = groups_of(self.model, self.args.weight_decay, *rates, muon=self.muon)
            kind, options = (Muon, {}) if self.muon else self.get_optimizer_cls_and_kwargs(self.args, self.model)
            self.optimizer = kind(groups, **options)
        return super().create_optimizer(model)

    def _get_train_sampler(self, train_dataset=None):
        if self.row_lengths is None:
            return super()._get_train_sampler(train_dataset)
        return OfLikeLength(self.row_lengths, self.args.train_batch_size, self.args.data_seed)

    def _save(self, output_dir=None, state_dict=None):
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        model = self.accelerator.unwrap_model(self.model)
        trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(trained, Path(output_dir) / "model.safetensors")

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        trained = load_file(Path(resume_from_checkpoint) / "model.safetensors")
        unexpected = self.model.load_state_dict(trained, strict=False).unexpected_keys
        if unexpected:
            raise StudyError(
                f"{resume_from_checkpoint}: holds {unexpected[0]}, which this model has not; "
                "remove the folder and run the stage again"
            )


class _Log(TrainerCallback):
    """The training log as CSV; a resumed run goes on below the rows that its checkpoint had seen."""

    def __init__(self, path: Path, batch_size: int, stop_after: int | None):
        self.path, self.batch_size, self.stop_after = Path(path), batch_size, stop_after

    def on_train_begin(self, args, state, control, **kwargs):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rows, self.last = [], (state.global_step, time.perf_counter())
        if state.global_step and self.path.is_file():
            with open(self.path, newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= state.global_step]

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or "loss" not in logs:
            return
        step, now = state.global_step, time.perf_counter()
        seen = (step - self.last[0]) * self.batch_size * args.world_size
        row = {"step": step, **{k: v for k, v in logs.items() if k != "epoch"}}
        row["samples_per_second"] = seen / (now - self.last[1])
        self.last = (step, now)
        self.rows.append({name: _short(value) for name, value in row.items()})
        with open(self.path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[-1]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def on_step_end(self, args, state, control, **kwargs):
        if self.stop_after is not None and state.global_step >= self.stop_after:
            control.should_save = True
            control.should_training_stop = True


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else value
