"""The best weights of a run, kept while it trains and put back when it ends."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback


class KeepBest(TrainerCallback):
    """Scores the model after every `every` updates and the last; when training ends, the best weights are put back.

    `scores` has the score after each of those updates; the earliest wins a tie. In `folder` lies what an interrupted
    run needs to go on: weights that were beaten since the last checkpoint too, as the run may go back to it.
    """

    def __init__(self, score: Callable[[torch.nn.Module], float], every: int, folder: Path):
        self.score, self.every, self.folder = score, every, Path(folder)
        self.scores: dict[int, float] = {}

    @property
    def best(self) -> int:
        """The update whose weights scored best."""
        return max(self.scores, key=self.scores.get)

    def on_train_begin(self, args, state, control, **kwargs):
        found, self.scores = self.folder / "scores.json", {}
        if state.global_step and found.is_file():
            earlier = {int(step): score for step, score in json.loads(found.read_text(encoding="utf-8")).items()}
            self.scores = {step: score for step, score in earlier.items() if step <= state.global_step}

    def on_step_end(self, args, state, control, model=None, **kwargs):
        step = state.global_step
        if step % self.every and step != state.max_steps:
            return
        self.scores[step] = self.score(model)
        if state.is_world_process_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.best == step:
                frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
                learnt = {name: w.contiguous() for name, w in model.state_dict().items() if name not in frozen}
                save_file(learnt, self._weights(step))
            (self.folder / "scores.json").write_text(json.dumps(self.scores), encoding="utf-8")

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero and self.scores:
            for beaten in set(self.folder.glob("best-*.safetensors")) - {self._weights(self.best)}:
                beaten.unlink()

    def on_train_end(self, args, state, control, model=None, **kwargs):
        if state.global_step == state.max_steps:
            PartialState().wait_for_everyone()
            model.load_state_dict(load_file(self._weights(self.best)), strict=False)

    def _weights(self, step: int) -> Path:
        return self.folder / f"best-{step}.safetensors"
