"""The runner: what a notebook is given, what it leaves behind when it ends, and when it fails."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from stubs import PARAMETERS, make_notebook, make_study

from blsp_core.errors import StudyError
from blsp_core.study import notebook, runner


def files(root) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_two_equal_runs_give_equal_bytes_and_a_full_record(tmp_path, capsys):
    study = make_study(
        tmp_path,
        "import sys, matplotlib.pyplot as plt\nplt.plot([study.settings.steps, 1])\nprint(object(), study.root)",
        "model = study.write('models/stage1')\nmodel.mkdir()\n(model / 'a').write_text('b')",
        "study.figures('table.md').write_text('|')\nsys.executable",
        "study.record('stage1.json', {'loss': float('nan'), 'steps': study.settings.steps})",
    )
    first = runner.run(study, "stage1", {}).read_bytes()
    second = runner.run(study, "stage1", {}).read_bytes()
    assert first == second
    assert str(tmp_path).encode() not in first and b"image/png" in first

    result = json.loads((study / "data/smoke/results/stage1.json").read_text())
    assert result["steps"] == 2 and result["loss"] is None
    assert result["run"]["seed"] == 7 and result["run"]["settings"] == {"steps": 2, "rate": 1e-4, "bold": False}
    assert result["run"]["versions"]["torch"] and result["run"]["hardware"]["cores"] >= 1
    assert result["run"]["seconds"] > 0 and result["run"]["peak_memory_gb"] > 0
    assert {"data/smoke/models/stage1/a", "figures/smoke/stage1/table.md"} <= files(study)
    assert not (study / ".scratch/by-hand").exists()

    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 4 and "04_stage1, scale smoke: done in" in said.out and not said.err


def test_the_kernel_is_this_python_whatever_kernels_are_registered(tmp_path, monkeypatch):
    wrong = tmp_path / "jupyter/kernels/python3"
    wrong.mkdir(parents=True)
    (wrong / "kernel.json").write_text('{"argv": ["/no/such/python"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    study = make_study(tmp_path / "study", "import sys\nstudy.write('which').write_text(sys.executable)")
    runner.run(study, "stage1", {})
    assert (study / "data/smoke/which").read_text() == sys.executable


@pytest.mark.skipif(sys.platform == "win32", reason="there, kernels listen at ports")
def test_two_kernels_that_begin_at_once_have_sockets_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    taken = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / name))
        manager = runner.own_kernel({"JUPYTER_RUNTIME_DIR": str(tmp_path / name)})()
        manager.write_connection_file()
        found = manager.get_connection_info()
        taken.append({f"{found['ip']}-{found[port]}" for port in found if port.endswith("_port")})
    assert len(taken[0]) == len(taken[1]) == 5 and not taken[0] & taken[1]


def test_a_variant_reaches_the_notebook_with_its_own_settings(tmp_path):
    cell = "study = notebook.start('stage2', scale, settings, seed, train_seed, system=system)\n"
    cell += "study.record(f'training/{system}/seed{study.train_seed}.json', {'frozen': study.settings.frozen})"
    parameters = PARAMETERS + "\nsystem = 'plain'\ntrain_seed = None"
    study = make_study(tmp_path, cell, stage="stage2", parameters=parameters)
    executed = runner.run(study, "stage2", {"system": "frozen", "train_seed": 5})
    assert executed.name == "04_stage2-frozen-5.ipynb"
    assert json.loads((study / "data/smoke/results/training/frozen/seed5.json").read_text())["frozen"] is True


def test_a_users_error_in_a_cell_is_told_in_its_own_words_only(tmp_path, monkeypatch, capsys):
    study = make_study(tmp_path, "study.read('manifests/acted.test.jsonl')")
    monkeypatch.chdir(study)
    assert notebook.main(["run", "stage1"]) == 1
    told = capsys.readouterr().err
    assert told == "data/smoke/manifests/acted.test.jsonl is not there yet; run `dvc repro data` at scale smoke\n"


def test_a_notebook_that_fails_leaves_nothing_that_looks_finished(tmp_path, capsys):
    study = make_study(
        tmp_path,
        "study.write('models/stage1').mkdir()\nstudy.write('results/stage1.csv').write_text('step')",
        "study.figures('table.md').write_text('half')",
        "def deep(n):\n    return deep(n - 1) if n else 1 / 0\ndeep(30)",
    )
    before = files(study)
    with pytest.raises(StudyError) as error:
        runner.run(study, "stage1", {})
    failed = ".scratch/failed/smoke.04_stage1.ipynb"
    assert str(error.value) == (
        f"notebooks/04_stage1.ipynb, cell [6]: ZeroDivisionError: division by zero; the full traceback is in {failed}"
    )
    assert files(study) == before | {failed}
    assert "deep(30)" in (study / failed).read_text()


def test_a_run_that_failed_goes_on_from_its_checkpoint(tmp_path):
    study = make_study(
        tmp_path,
        "step = study.checkpoints / 'step'\nbegun = step.exists()\nstep.write_text('1')\nassert begun",
        "study.record('stage1.json', {})",
    )
    with pytest.raises(StudyError, match="AssertionError"):
        runner.run(study, "stage1", {})
    assert (study / ".scratch/checkpoints/smoke/stage1").is_dir()
    runner.run(study, "stage1", {})
    assert not (study / ".scratch/checkpoints/smoke/stage1").exists()


def test_a_kernel_that_is_killed_is_a_sentence_too(tmp_path):
    study = make_study(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(StudyError, match="notebooks/04_stage1.ipynb: DeadKernelError: .*memory ran out"):
        runner.run(study, "stage1", {})
    assert not (study / "data/smoke/executed/04_stage1.ipynb").exists()


def test_an_interrupted_run_ends_its_kernel_and_removes_what_it_began(tmp_path):
    study = make_study(
        tmp_path,
        "import os\nstudy.write('pid').write_text(str(os.getpid()))\nimport time\ntime.sleep(600)",
    )
    command = [sys.executable, "-m", "blsp_core.study.notebook", "run", "stage1"]
    process = subprocess.Popen(command, cwd=study, stderr=subprocess.PIPE, text=True)
    pid = study / "data/smoke/pid"
    deadline = time.time() + 60
    while not (pid.is_file() and pid.read_text()) and time.time() < deadline:
        time.sleep(0.05)
    kernel = int(pid.read_text())
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode != 0 and len(told.splitlines()) == 1
    assert not pid.exists() and not (study / "data/smoke/executed").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)


def test_a_name_the_parameters_cell_lacks_stops_the_run(tmp_path):
    study = make_study(tmp_path)
    with pytest.raises(
        StudyError, match=r"04_stage1.ipynb: its `parameters` cell has no 'system', only scale, settings"
    ):
        runner.run(study, "stage1", {"system": "blsp"})
    with pytest.raises(StudyError, match="0 notebooks for the stage 'stage2'; wanted is one NN_stage2.ipynb"):
        runner.run(study, "stage2", {})


@pytest.mark.parametrize("source", ["scale = None\nsteps = 2 * 3", "import os", "a, b = 1, 2", "print(1)"])
def test_the_parameters_cell_holds_literals_only(source):
    with pytest.raises(StudyError, match="only `name = literal` may stand there"):
        runner.parameters_of(make_notebook(parameters=source))


def test_a_clean_copy_knows_nothing_of_having_been_run(tmp_path):
    study = make_study(tmp_path, "1 + 1")
    clean = [path.read_bytes() for path in runner.clean(study)]
    source = study / "notebooks/04_stage1.ipynb"
    run = json.loads(source.read_text())
    for number, cell in enumerate(run["cells"]):
        cell["id"] = f"other{number}"
        cell["metadata"] |= {"collapsed": False, "execution": {"iopub.status.busy": "now"}}
        if cell["cell_type"] == "code":
            cell |= {"execution_count": 3, "outputs": [{"output_type": "stream", "name": "stdout", "text": "2"}]}
    run["metadata"] = {"kernelspec": {"name": "other", "display_name": "O"}, "language_info": {"version": "3.12"}}
    run["cells"].append({"cell_type": "code", "id": "e", "metadata": {}, "source": [], "outputs": []})
    source.write_text(json.dumps(run, indent=2))
    assert [path.read_bytes() for path in runner.clean(study)] == clean
    assert runner.parameters_of(json.loads(clean[0])) == {"scale": None, "settings": None, "seed": None}
    assert [path.read_bytes() for path in runner.clean(study, in_place=True)] == clean


def test_the_copy_of_a_notebook_that_is_gone_goes_too(tmp_path):
    study = make_study(tmp_path)
    (study / "data/notebooks/09_old.ipynb").write_text("{}")
    runner.clean(study)
    assert sorted(path.name for path in (study / "data/notebooks").iterdir()) == ["04_stage1.ipynb"]


def test_further_seeds_are_read_beside_the_others_and_none_of_them_is_both(tmp_path):
    cell = "study.write_json('results/stage1.json', [study.seeds_of(name) for name in ('blsp-emo', 'frozen')])"
    study = make_study(tmp_path, cell)
    runner.run(study, "stage1", {})
    assert json.loads((study / "data/smoke/results/stage1.json").read_text()) == [[3, 7, 8], [3, 7]]
    params = study / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("[8]", "[8, 3]"), encoding="utf-8")
    with pytest.raises(StudyError, match="3 is one of `seeds` and of `further_seeds`; take it out of the second"):
        runner.run(study, "stage1", {})
    folds = (
        params.read_text(encoding="utf-8").replace("[8, 3]", "[8]").replace("smoke: {", "smoke: {data: 'x.{seed}', ")
    )
    params.write_text(folds, encoding="utf-8")
    with pytest.raises(StudyError, match="at scale smoke the seeds are folds, all of them `seeds`; set further_seeds"):
        runner.run(study, "stage1", {})


def test_a_seed_of_the_world_that_is_none_of_the_training_seeds_is_refused_before_anything_runs(tmp_path):
    study = make_study(tmp_path, "study.write('results/stage1.csv').write_text('step')")
    params = study / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("[3, 7]", "[3]"), encoding="utf-8")
    with pytest.raises(StudyError, match="`seed` is 7, `seeds` are 3; .* put it there as well"):
        runner.run(study, "stage1", {})
    assert not (study / "data/smoke/results").exists()
