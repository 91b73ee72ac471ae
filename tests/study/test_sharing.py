"""What one run has done, another takes over."""

import pytest

from blsp_core.study import sharing


def products(folder):
    (folder / "model/part").mkdir(parents=True)
    (folder / "model/part/weights").write_bytes(b"123")
    (folder / "log.csv").write_text("step\n1\n")
    return {"model": folder / "model", "log.csv": folder / "log.csv"}


def test_what_one_run_gave_another_takes_byte_for_byte(tmp_path):
    shared, first = tmp_path / "shared/here", products(tmp_path / "first")
    second = {name: tmp_path / "second" / name for name in first}
    assert not sharing.take(shared, second) and not (tmp_path / "second").exists()
    sharing.give(shared, first)
    assert sharing.take(shared, second)
    assert (second["model"] / "part/weights").read_bytes() == b"123" and second["log.csv"].read_text() == "step\n1\n"


def test_the_last_gift_counts_and_a_half_one_never(tmp_path):
    shared, first = tmp_path / "shared", products(tmp_path / "first")
    sharing.give(shared, first)
    first["log.csv"].write_text("step\n2\n")
    sharing.give(shared, first)
    assert (shared / "log.csv").read_text() == "step\n2\n"
    first["log.csv"].unlink()
    with pytest.raises(FileNotFoundError):
        sharing.give(shared, first)
    assert (shared / "log.csv").read_text() == "step\n2\n"


def test_what_is_taken_replaces_what_an_earlier_run_had_left(tmp_path):
    shared, first = tmp_path / "shared", products(tmp_path / "first")
    second = products(tmp_path / "second")
    (second["model"] / "old").write_text("left")
    sharing.give(shared, first)
    assert sharing.take(shared, second) and not (second["model"] / "old").exists()
