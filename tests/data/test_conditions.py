"""Altered test clips."""

import numpy as np
import pytest

from blsp_core.data.acoustics import level
from blsp_core.data.conditions import alter, build_altered, names_of
from blsp_core.data.manifest import Utterance, read_manifest, write_manifest
from blsp_core.errors import StudyError
from blsp_core.model.audio import load_audio, write_corpus

SOUND = (0.1 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)).astype(np.float32)


def test_conditions_change_what_they_say():
    assert level(alter(SOUND, "level-20", 1)) == pytest.approx(level(SOUND) - 20, abs=0.01)
    noisy = alter(SOUND, "noise10", 1)
    assert level(SOUND) - level(noisy - SOUND) == pytest.approx(10, abs=0.2)
    assert np.array_equal(noisy, alter(SOUND, "noise10", 1)) and not np.array_equal(noisy, alter(SOUND, "noise10", 2))
    assert len(alter(SOUND, "speed80", 1)) == pytest.approx(len(SOUND) / 0.8, abs=2)
    low = np.sin(2 * np.pi * 100 * np.arange(16_000) / 16_000).astype(np.float32)
    assert level(alter(low, "telephone", 1)) < level(low) - 40 < level(alter(SOUND, "telephone", 1))


@pytest.mark.parametrize("condition", ["telephone7", "noise", "louder", "level-"])
def test_an_unknown_condition_is_refused_with_those_that_there_are(condition):
    with pytest.raises(
        StudyError, match=f"data.altered: {condition!r} is no condition; wanted is one such as level-20"
    ):
        alter(SOUND, condition, 1)


def test_a_third_of_each_emotion_is_altered_under_its_own_ids_the_same_under_each_condition(tmp_path):
    (tmp_path / "manifests").mkdir()
    pieces = write_corpus(tmp_path / "corpora/c.flac", [SOUND] * 18)
    rows = [  # three emotions in turn, so that every third clip has one
        Utterance(
            f"corpora/{piece}", "words", ("sad", "happy", "angry")[i % 3], f"c-test-{i}", "ann", "en", 1.0, "c", "test"
        )
        for i, piece in enumerate(pieces)
    ]
    write_manifest(tmp_path / "manifests/c.test.jsonl", rows)
    made = build_altered(tmp_path, "c", "speed125")
    assert sorted(row.emotion for row in made) == ["angry"] * 2 + ["happy"] * 2 + ["sad"] * 2
    assert {row.id for row in made} < {row.id for row in rows} and made[0].duration == 0.8
    assert [row.id for row in made] == [row.id for row in build_altered(tmp_path, "c", "noise5")]
    (name,) = names_of({"c": ["speed125"]})
    assert read_manifest(tmp_path / f"manifests/{name}.test.jsonl") == made
    assert len(load_audio(made[1].audio, tmp_path)) == 12_800
    write_manifest(tmp_path / "manifests/c.fold1.test.jsonl", rows)
    with pytest.raises(StudyError, match="data.altered: c is tested in folds"):
        build_altered(tmp_path, "c", "noise5")
