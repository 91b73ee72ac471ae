"""transformers' Trainer with objectives that name their parts, a CSV log, and small checkpoints to resume from.

accelerate chooses the device, one GPU a process where there is any, and bf16 there. Several processes, started by
`launch`, train as one does: an update has the same rows and the same loss.
"""

import csv
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from blsp_core.errors import StudyError
from blsp_core.training.batching import BucketSampler
from blsp_core.training.held_out import HeldOut
from blsp_core.training.optimizer import Muon, parameter_groups

Objective = Callable[[torch.nn.Module, Mapping], dict[str, torch.Tensor]]  # see objectives.py
PRINT_EVERY = 10  # seconds between lines of progress, where there is no bar
SKIPPED = 0.01  # the share of updates that may be left out for gradients that are not finite, or 3


def train(
    model: torch.nn.Module, dataset: Dataset, collate: Callable, objective: Objective, *,
    steps: int, batch_size: int, learning_rate: float, seed: int, checkpoints: Path, log: Path,
    gradient_accumulation: int = 1, learning_rates: Mapping[str, float] | None = None, optimizer: str = "adamw",
    warmup_share: float = 0.1, schedule: str = "cosine", weight_decay: float = 0.05, save_steps: int = 0,
    log_steps: int = 10, shuffle: bool = True, lengths: Sequence[int] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    score: Callable[[torch.nn.Module], float] | None = None, validation: Dataset | None = None, validations: int = 1,
    workers: int = 0, stop_after: int | None = None,
) -> dict:  # fmt: skip
    """Train what `requires_grad` for `steps` updates, each of `gradient_accumulation` batches of `batch_size` rows,
    which several processes share.

    log: a CSV, a row every `log_steps`: step, loss, its parts, shares, grad_norm, learning_rate, samples_per_second,
    and share_waiting, that of the time in which training waited for data; in `validations` of them also the parts for
    the held-out rows of `validation`, as validation_<part> (of `objective.measure`, where it has that); and `skipped`,
    how many updates so far were left out since their gradient was not finite, where there are any.
    checkpoints: a folder whose unfinished run is resumed, removed at the end.
    schedule: of the learning rate after its warm-up, cosine or linear.
    optimizer, learning_rates: see `optimizer.parameter_groups`. lengths: of every row, see `batching.BucketSampler`.
    score: of the model, higher is better, measured `validations` times; the model is left with its best weights.
    workers: processes that load the rows; 0: the training process itself.
    stop_after: interrupt after so many updates, for tests.
    Returns `seconds` and `steps`, and with a score `scores` (step -> score) and `best`, a step.
    Raises StudyError when the loss is not finite, or more gradients than `SKIPPED` are not, and for a checkpoint of
    another model.
    """
    on_gpu = torch.cuda.is_available()
    # cuDNN's attention, the default on H100 and H200, has gradients that are NaN for masked batches of some lengths:
    # github.com/pytorch/pytorch/issues/196678. With it two runs of stage 1 with Qwen2.5-0.5B ended in NaN.
    torch.backends.cuda.enable_cudnn_sdp(False)
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1 and "MASTER_ADDR" not in os.environ:
        raise StudyError(
            f"WORLD_SIZE is {processes}, but the processes cannot find each other (MASTER_ADDR is not set); start them "
            "by `accelerate launch`, or unset WORLD_SIZE"
        )
    batch_size, gradient_accumulation = _share(batch_size, gradient_accumulation, processes)
    saving = {"save_strategy": "steps" if save_steps else "no", "save_steps": save_steps or steps}
    if score:
        saving = {"save_strategy": "best", "load_best_model_at_end": True, "metric_for_best_model": "score"}
        saving |= {"greater_is_better": True, "eval_strategy": "steps", "eval_steps": max(1, steps // validations)}
    arguments = TrainingArguments(
        output_dir=str(checkpoints), max_steps=steps, per_device_train_batch_size=batch_size, seed=seed, data_seed=seed,
        gradient_accumulation_steps=gradient_accumulation, learning_rate=learning_rate, lr_scheduler_type=schedule,
        warmup_steps=int(warmup_share * steps), weight_decay=weight_decay, max_grad_norm=1.0, bf16=on_gpu,
        logging_steps=min(log_steps, steps), logging_nan_inf_filter=False, save_total_limit=1, report_to="none",
        disable_tqdm=bool(os.environ.get("TQDM_DISABLE")), remove_unused_columns=False, dataloader_pin_memory=on_gpu,
        train_sampling_strategy="random" if shuffle else "sequential", dataloader_num_workers=workers,
        dataloader_persistent_workers=workers > 0, use_cpu=not on_gpu, ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False, **saving,
    )  # fmt: skip
    arguments._n_gpu = min(arguments.n_gpu, 1)  # nn.DataParallel splits tensors only, and a batch holds more
    progress = _Progress(Path(log), batch_size * gradient_accumulation, save_steps if score else 0, stop_after)
    trainer = _Trainer(
        model=model, args=arguments, train_dataset=dataset, eval_dataset=dataset if score else None,
        data_collator=collate, callbacks=[progress, *callbacks],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.objective, trainer.score, trainer.lengths, trainer.progress = objective, score, lengths, progress
    trainer.skipped, trainer.ids = 0, []
    trainer.updates, trainer.sums = 0, {}  # since the last row of the log: how many, and their losses by part
    trainer.waited, trainer.since = 0.0, time.perf_counter()
    measured = validation is not None and validations > 0
    trainer.held_out = HeldOut(validation, collate, objective, batch_size) if measured else None
    trainer.measured_every = log_steps * max(1, round(steps / max(1, validations) / log_steps))
    trainer.groups = parameter_groups(model, learning_rate, learning_rates or {}, weight_decay, optimizer)
    trainer.started = time.perf_counter()
    trainer.train(resume_from_checkpoint=_last_complete(Path(checkpoints)))
    trainer.accelerator.wait_for_everyone()
    if stop_after is None and trainer.is_world_process_zero():
        shutil.rmtree(checkpoints, ignore_errors=True)
    cost = {"seconds": time.perf_counter() - trainer.started, "steps": trainer.state.global_step}
    scores = {row["step"]: row["eval_score"] for row in trainer.state.log_history if "eval_score" in row}
    return cost | ({"scores": scores, "best": trainer.state.best_global_step} if score else {})


def _share(batch_size: int, gradient_accumulation: int, processes: int) -> tuple[int, int]:
    """Rows a batch and batches an update of each of several processes, for the same update as of one."""
    if gradient_accumulation % processes == 0:
        return batch_size, gradient_accumulation // processes
    if batch_size * gradient_accumulation % processes:
        raise StudyError(
            f"batch_size x gradient_accumulation is {batch_size} x {gradient_accumulation}, which {processes} "
            "processes cannot share; set them to a multiple"
        )
    rows = batch_size * gradient_accumulation // processes  # of an update
    size = max(size for size in range(1, batch_size + 1) if rows % size == 0)
    return size, rows // size


def _last_complete(checkpoints: Path) -> str | None:
    """The newest checkpoint that is whole: the Trainer writes trainer_state.json last."""
    states = [path for path in checkpoints.glob("checkpoint-*/trainer_state.json")]
    whole = [path.parent for path in states if path.read_text(encoding="utf-8").endswith("\n}\n")]
    return str(max(whole, key=lambda folder: int(folder.name.split("-")[1]))) if whole else None


class _Trainer(Trainer):
    loss_is_scaled_for_ga = True  # objectives divide by the labels of all accumulated batches

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """The batches of one update, each with `num_items`: the labels of every kind in all of them (1 for none), as a
        mean over processes, since these average their gradients."""
        begun = time.perf_counter()
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.waited += time.perf_counter() - begun
        totals = {}
        for name in [name for name in (batches or [{}])[0] if name.endswith("labels")]:
            total = sum((batch[name] != -100).sum() for batch in batches).float()
            total = self.accelerator.reduce(total.to(self.args.device), "mean")
            totals[name] = torch.where(total > 0, total, 1.0)
        self.updates += 1
        return [{**batch, "num_items": totals} for batch in batches], None

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        parts = self.objective(model, inputs)
        loss = sum(value for name, value in parts.items() if not name.startswith("share_"))
        if not torch.isfinite(loss):
            found = ", ".join(f"{name} {float(value.detach()):g}" for name, value in parts.items())
            clips = f"; the batch holds {', '.join(inputs['ids'])}" if "ids" in inputs else ""
            raise StudyError(
                f"training stopped in update {self.state.global_step + 1}: the loss is not finite ({found}){clips}; "
                "use a lower learning_rate, or look at the data of this batch"
            )
        for name, value in parts.items():
            among = self.current_gradient_accumulation_steps if name.startswith("share_") else 1
            self.sums[name] = self.sums.get(name, 0.0) + value.detach() / among
        self.progress.loss, self.ids = loss.detach(), inputs.get("ids", [])
        return loss

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        if not torch.isfinite(norm):
            model.zero_grad()  # the optimizer leaves weights without a gradient as they are
            self.skipped += 1
            update = self.state.global_step + 1
            print(f"update {update} is left out: its gradient is not finite; {', '.join(self.ids)}", flush=True)
            if self.skipped > max(3, SKIPPED * self.state.max_steps):
                raise StudyError(
                    f"training stopped in update {update}: the gradients of {self.skipped} updates were not finite; "
                    "use a lower learning_rate, or look at the data of the batches that are named above"
                )
        return norm

    def log(self, logs, start_time=None):
        if "loss" in logs:
            sums = self.accelerator.reduce(self.sums, "mean")
            parts = {name: float(total / self.updates) for name, total in sums.items()}
            logs |= parts | {"loss": sum(value for name, value in parts.items() if not name.startswith("share_"))}
            now = time.perf_counter()
            logs["share_waiting"], self.since, self.waited = self.waited / (now - self.since), now, 0.0
            self.sums, self.updates = {}, 0
            logs |= {"skipped": self.skipped} if self.skipped else {}
            step = self.state.global_step
            if self.held_out and (step % self.measured_every == 0 or step == self.state.max_steps):
                found = self.held_out(self.model)
                logs |= {f"validation_{name}": value for name, value in found.items()}
                self.since = time.perf_counter()
        super().log(logs, start_time)

    def evaluate(self, *_, **__):
        metrics = {"eval_score": self.score(self.model)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _issue_warnings_after_load(self, load_result):
        """None: frozen weights are not in checkpoints."""

    def create_optimizer(self, model=None):
        if self.optimizer is None:
            muon = any(group["muon"] for group in self.groups)
            kind, options = (Muon, {}) if muon else self.get_optimizer_cls_and_kwargs(self.args, self.model)
            self.optimizer = kind(self.groups, **options)
        return super().create_optimizer(model)

    def _get_train_sampler(self, train_dataset=None):
        if self.lengths is None:
            return super()._get_train_sampler(train_dataset)
        numbered = getattr(self.train_dataset, "augment", None) is not None
        return BucketSampler(self.lengths, self.args.train_batch_size, self.args.data_seed, numbered)

    def _save(self, output_dir=None, state_dict=None):
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        model = self.accelerator.unwrap_model(self.model)
        trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(trained, Path(output_dir) / "model.safetensors")
        sums = {name: float(total) for name, total in self.sums.items()}
        kept = {"sums": sums, "updates": self.updates, "skipped": self.skipped}
        kept["seconds"] = time.perf_counter() - self.started
        kept["rows"] = {type(callback).__name__: callback.rows for callback in self._writers()}
        (Path(output_dir) / "logs.json").write_text(json.dumps(kept), encoding="utf-8")

    def _writers(self) -> list[TrainerCallback]:
        """Callbacks with `rows` of a log, which a checkpoint keeps: the pipeline removes the file with the log before
        it runs a stage again."""
        return [callback for callback in self.callback_handler.callbacks if hasattr(callback, "rows")]

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        kept = json.loads((Path(resume_from_checkpoint) / "logs.json").read_text(encoding="utf-8"))
        self.sums, self.updates, self.skipped = kept["sums"], kept["updates"], kept["skipped"]
        self.started -= kept["seconds"]
        for callback in self._writers():
            callback.rows = kept["rows"].get(type(callback).__name__, [])
        trained = load_file(Path(resume_from_checkpoint) / "model.safetensors")
        unexpected = self.model.load_state_dict(trained, strict=False).unexpected_keys
        if unexpected:
            raise StudyError(
                f"{resume_from_checkpoint}: holds {unexpected[0]}, which this model does not have; "
                "remove the folder and run the stage again"
            )


class _Progress(TrainerCallback):
    """The training log as CSV, in which a resumed run goes on below the rows of its checkpoint; and in the pipeline,
    where there is no bar, a line every few seconds."""

    loss = float("nan")  # of the last batch

    def __init__(self, path: Path, batch_size: int, save_steps: int, stop_after: int | None):
        self.path, self.batch_size, self.save_steps, self.stop_after = path, batch_size, save_steps, stop_after
        self.rows: list[dict] = []

    def on_train_begin(self, args, state, control, **kwargs):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.begun = self.logged = (state.global_step, time.perf_counter())
        self.printed = time.perf_counter()
        if args.world_size > 1 and not state.global_step:
            set_seed(args.seed, device_specific=True)  # dropout differs between processes

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or "loss" not in logs:
            return
        (step, then), now = self.logged, time.perf_counter()
        speed = (state.global_step - step) * self.batch_size * args.world_size / (now - then)
        row = {"step": state.global_step, **logs, "samples_per_second": speed}
        self.logged = state.global_step, now
        self.rows.append({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items() if k != "epoch"})
        with open(self.path, "w", newline="") as file:
            names = list(dict.fromkeys(name for row in self.rows for name in row))
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def on_substep_end(self, args, state, control, **kwargs):
        now, (step, begun) = time.perf_counter(), self.begun
        if args.disable_tqdm and state.is_world_process_zero and now - self.printed >= PRINT_EVERY:
            done, self.printed = state.global_step - step, now
            left = f", {(now - begun) / done * (state.max_steps - state.global_step):.0f} s left" if done else ""
            print(f"step {state.global_step} of {state.max_steps}: loss {float(self.loss):.3g}{left}", flush=True)

    def on_step_end(self, args, state, control, **kwargs):
        self.on_substep_end(args, state, control)
        stop = self.stop_after is not None and state.global_step >= self.stop_after
        control.should_log |= state.global_step >= state.max_steps
        control.should_training_stop |= stop
        control.should_save |= stop or bool(self.save_steps and state.global_step % self.save_steps == 0)
