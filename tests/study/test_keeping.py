"""The best weights of a run are put back when it ends, also after an interruption."""

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import TrainerControl, TrainerState

from blsp_core.training.keeping import KeepBest


def _walk(callback, model, states: dict, steps: range, max_steps: int) -> None:
    """What the Trainer tells a callback while weights change at every step."""
    state, control = TrainerState(max_steps=max_steps, global_step=steps[0] - 1), TrainerControl()
    callback.on_train_begin(None, state, control, model=model)
    for state.global_step in steps:
        with torch.no_grad():
            model.weight.fill_(state.global_step + 0.1 * len(states))
        if state.global_step not in states:
            states[state.global_step] = model.weight.clone()
        callback.on_step_end(None, state, control, model=model)
    callback.on_train_end(None, state, control, model=model)


def test_the_best_weights_are_put_back_and_the_earliest_wins_a_tie(tmp_path):
    model, states = nn.Linear(2, 2), {}
    marks = iter([0.2, 0.8, 0.8, 0.3])
    best = KeepBest(lambda _: next(marks), 2, tmp_path / "best")
    _walk(best, model, states, range(1, 8), max_steps=7)
    assert best.scores == {2: 0.2, 4: 0.8, 6: 0.8, 7: 0.3} and best.best == 4
    assert torch.equal(model.weight, states[4])


def test_an_interrupted_choice_goes_on_with_what_it_had_seen(tmp_path):
    model, states = nn.Linear(2, 2), {}
    first = KeepBest(lambda _: 0.9, 2, tmp_path / "best")
    _walk(first, model, states, range(1, 5), max_steps=8)
    assert torch.equal(model.weight, states[4])  # interrupted: nothing is put back
    marks = iter([0.5, 0.6, 0.7])
    second = KeepBest(lambda _: next(marks), 2, tmp_path / "best")
    _walk(second, model, states, range(3, 9), max_steps=8)  # its checkpoint was older than its last score
    assert second.scores == {2: 0.9, 4: 0.5, 6: 0.6, 8: 0.7}
    assert torch.equal(model.weight, load_file(tmp_path / "best" / "best-2.safetensors")["weight"])
    assert torch.equal(model.weight, states[2])


def test_only_what_learns_is_kept(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    best = KeepBest(lambda _: 1.0, 1, tmp_path / "best")
    best.on_step_end(None, TrainerState(global_step=1, max_steps=2), TrainerControl(), model=model)
    assert set(load_file(tmp_path / "best" / "best-1.safetensors")) == {"1.weight", "1.bias"}


def test_a_look_that_is_taken_again_and_does_worse_gives_way_to_the_one_before_it(tmp_path):
    model, states = nn.Linear(2, 2), {}
    marks = iter([0.5, 0.9])
    first = KeepBest(lambda _: next(marks), 2, tmp_path / "best")
    _walk(first, model, states, range(1, 5), max_steps=6)  # best is 4; interrupted, its last checkpoint is of step 3
    again = iter([0.4, 0.3])
    second = KeepBest(lambda _: next(again), 2, tmp_path / "best")
    _walk(second, model, states, range(4, 7), max_steps=6)
    assert second.scores == {2: 0.5, 4: 0.4, 6: 0.3} and second.best == 2
    assert torch.equal(model.weight, states[2])


def test_a_checkpoint_makes_beaten_weights_needless(tmp_path):
    model, marks = nn.Linear(2, 2), iter([0.5, 0.9])
    best = KeepBest(lambda _: next(marks), 2, tmp_path / "best")
    _walk(best, model, {}, range(1, 5), max_steps=6)
    best.on_save(None, TrainerState(global_step=4, max_steps=6), TrainerControl())
    assert [path.name for path in (tmp_path / "best").glob("*.safetensors")] == ["best-4.safetensors"]
