"""A share of tests/kills.py: training is killed, once while it writes a checkpoint, and ends in the same bytes."""

import sys

import kills
import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_training_that_is_killed_ends_in_the_same_bytes(tmp_path):
    training = [sys.executable, "-m", "dvc", "repro", "train@blsp-emo"]
    kills.survive(tmp_path, kills=2, aimed=1, seed=5, command=training)
