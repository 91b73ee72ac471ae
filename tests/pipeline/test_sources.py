"""The list of the code that a notebook stands on: what is imported, however far away, and nothing else."""

import json

import pytest

from blsp_core.errors import StudyError
from blsp_core.study import sources

FILES = {
    "blsp_core/__init__.py": "",
    "blsp_core/model/__init__.py": "def __getattr__(name): ...",
    "blsp_core/model/adapter.py": "",
    "blsp_core/model/losses.py": "",
    "blsp_core/speech/__init__.py": "",
    "blsp_core/speech/sound.py": "import numpy\nfrom blsp_core.errors import Oops",
    "blsp_core/study/__init__.py": "",
    "blsp_core/study/tables.py": "from blsp_core.study import units",
    "blsp_core/study/units.py": "",
    "blsp_core/study/training.py": "def train():\n    from blsp_core.speech.sound import play",
    "blsp_core/study/unused.py": "",
    "blsp_core/errors.py": "",
}


@pytest.fixture
def study(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def notebook(study, name: str, *lines: str):
    cells = [{"cell_type": "markdown", "source": ["import blsp_core.study.unused"]}]
    cells += [{"cell_type": "code", "source": [f"{line}\n" for line in lines]}]
    (study / name).write_text(json.dumps({"cells": cells}))
    return study / name


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("from blsp_core.training.trainer import train", {"study/training", "speech/sound"}),
        ("from blsp_core.study import training as t", {"study/training", "speech/sound"}),
        ("import blsp_core.training.trainer", {"study/training", "speech/sound"}),
        ("from blsp_core.model import losses", {"model/losses"}),
        ("from blsp_core.model import Model", {"model/__init__", "model/adapter", "model/losses"}),
        ("from blsp_core import model", {"model/__init__", "model/adapter", "model/losses"}),
        ("import blsp_core.model", {"model/__init__", "model/adapter", "model/losses"}),
        ("import blsp_core", set()),
        ("import json", set()),
    ],
)
def test_what_is_imported_counts_however_it_is_imported(study, line, files):
    found = sources.code_of(study, notebook(study, "04_stage1.ipynb", line))
    assert {sources.module_of(file) for file in found} == files


def test_a_relative_import_is_an_error_and_not_overlooked(study):
    (study / "blsp_core/study/training.py").write_text("from . import units")
    with pytest.raises(StudyError, match="`from . import units`: the pipeline does not follow relative imports"):
        sources.code_of(study, notebook(study, "04_stage1.ipynb", "from blsp_core.study import training"))


def test_tables_and_what_they_need_count_only_where_they_are_the_product(study):
    line = "from blsp_core.study import tables"
    assert sources.code_of(study, notebook(study, "04_stage1.ipynb", line)) == set()
    paper = sources.code_of(study, notebook(study, "08_paper.ipynb", line))
    assert paper == {"blsp_core/study/tables.py", "blsp_core/study/units.py"}


def test_a_change_of_code_changes_the_lists_of_those_who_use_it(study):
    first = notebook(study, "04_stage1.ipynb", "from blsp_core.study import training")
    second = notebook(study, "05_stage2.ipynb", "from blsp_core.model import losses")

    def lists():
        sources.write_lists(study, [first, second], study / "code")
        return [(study / "code" / f"{path.stem}.txt").read_text() for path in (first, second)]

    before = lists()
    assert [line.split()[1] for line in before[0].splitlines()] == [
        "blsp_core/speech/sound.py",
        "blsp_core/study/training.py",
    ]
    (study / "blsp_core/speech/sound.py").write_text("import wave")
    after = lists()
    assert after[0] != before[0] and after[1] == before[1]
