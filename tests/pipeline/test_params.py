"""Values of params.yaml and of the scales: every mistake is one sentence, before anything runs."""

import copy
import functools
import math
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from blsp_core import params
from blsp_core.errors import StudyError

ROOT = Path(__file__).resolve().parents[2]
GONE = object()


def one_sentence(refused, *parts: str) -> None:
    said = str(refused.value)
    assert all(part in said for part in parts) and "\n" not in said and len(said) < 600, said


@functools.cache
def committed() -> dict:
    return YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def changed(name: str, value) -> dict:
    """The study's params.yaml with one value, by its dotted name, changed, added, or taken out."""
    content = copy.deepcopy(committed())
    *parents, last = name.split("/")[0].split(".") + name.split("/")[1:]
    place = functools.reduce(lambda found, key: found[key], parents, content)
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return content


RUN = {"stage": "stage2", "from": "models/blsp", "seed": 1}
BAD = [
    # values
    ("seed", "one", "a valid integer"), ("seed", 10**30, "less than"), ("folds", -1, "greater than or equal to 0"),
    ("stage1.steps", -20, "greater than or equal to 1"), ("stage1.steps", 0, "greater than or equal to 1"),
    ("stage2.steps", "many", "a valid integer"), ("stage2.batch_size", 0, "greater than or equal to 1"),
    ("stage1.batch_size", 2.5, "a valid integer"), ("stage1.steps", True, "a valid integer"),
    ("stage1.learning_rate", "fast", "a valid number"), ("stage2.learning_rate", 1e9, "less than or equal to 1"),
    ("stage2.learning_rates.lora", -1e-3, "greater than 0"), ("stage1.learning_rate", math.nan, "a finite number"),
    ("stage1.encoder_layers", "lats", "'last', 'mix' or 'last+mix'"), ("stage1.temperature", 0, "greater than 0"),
    ("stage1.optimizer", "false", "'adamw' or 'muon'"), ("stage1.real_frames", "no", "a valid boolean"),
    ("stage1.warmup_share", 1.5, "less than or equal to 1"), ("stage1.gradient_accumulation", 0, "equal to 1"),
    ("stage1.validation.losses", -1, "equal to 0"), ("stage2.targets", "label", "valid list"),
    ("stage2.targets", ["labels"], "'continuation', 'other', 'label' or 'repeat'"), ("stage2.targets", [], "least 1"),
    ("stage2.data_share", 0, "greater than 0"), ("stage2.lora_rank", -4, "equal to 0"),
    ("stage2.lora_scope", "all", "'speech' or 'everywhere'"), ("stage2.head.train", 1, "a valid boolean"),
    ("stage2.emotion_weight", "big", "a valid number"), ("stage2.save_steps", None, "a valid integer"),
    ("classifier.architecture", "w2v", "'wav2vec2', 'hubert' or 'wavlm'"), ("probe.penalties", [], "at least 1"),
    ("continuations.repeat_share.stage1", 2, "less than or equal to 1"), ("llm.source", 7, "a valid string"),
    ("evaluation.max_new_tokens.ser", 0, "equal to 1"), ("llm.size.width", "wide", "a valid integer"),
    ("transcripts.max_wer", -1, "equal to 0"), ("data.synthesise.asr.train", -5, "equal to 0"),
    ("evaluation.ser", "acted", "valid list"), ("evaluation.ser", ["acted", "acted"], "different entries"),
    ("evaluation.judge.model", None, "a valid string"), ("evaluation.judge.model", 5, "a valid string"),
    ("report.acoustics_corpus", 1, "a valid string"), ("scale", ["tiny"], "a valid string"),
    ("scale", "", "letters, digits"), ("scale", "../../x", "letters, digits"),
    # mappings, names that are unknown or missing
    ("stage1", 5, "a valid dictionary"), ("stage1.adapter", "convolution", "a valid dictionary"),
    ("stage2.head", None, "a valid dictionary"), ("continuations.repeat_share", 0.5, "a valid dictionary"),
    ("stage1.validation", "requests", "a valid dictionary"), ("evaluation.judge", [], "a valid dictionary"),
    ("data", None, "a valid dictionary"), ("data.synthesise.acted", 5, "a valid dictionary"),
    ("data.corpora", {"ravdess": ["folds"]}, "a valid dictionary"), ("stag1", {}, "no setting that"),
    ("stage1.stepz", 5, "no setting that"), ("stage1.muon", "false", "no setting that"),
    ("stage2.head.inot", [], "no setting that"), ("evaluation.judge.temprature", 0, "no setting that"),
    ("stage2.lora_rnk", 4, "no setting that"), ("stage2.optimizer", GONE, "is missing; add it"),
    ("stage1.batch_size", GONE, "is missing; add it"), ("seed", GONE, "is missing; add it"),
    ("stage2.head.norm", GONE, "is missing; add it"), ("probe", GONE, "is missing; add it"),
    # corpora
    ("data.synthesise.acted", {"dev": 5}, "no setting that"), ("data.custom", {"mine": "test"}, "valid list"),
    ("data.custom", {"mine": ["dev"]}, "'train', 'validation' or 'test'"), ("data.custom", {"a.b": ["test"]}, "no dot"),
    ("data.custom", {"acted": ["test"]}, "in data.custom and in data.synthesise"),
    ("data.corpora", {"nosuch": {}}, "no reader"), ("data.corpora", {"base": {}}, "no reader"),
    ("data.altered", {"statements": ["speed0"]}, "letters"),
    ("systems.text+llm.class", "Sequence", "no class 'Sequence'"),
    ("runs.full.wavlm+llm.system", "text+llm", "the name of two systems"),
    ("stage2.corpora", ["acted.{fold}"], "has no fold"),
    ("evaluation.altered", ["blsp-emu"], "no system 'blsp-emu'"),
    ("stage2.corpora", ["tlak"], "no corpus 'tlak'"), ("evaluation.requests", "nope", "no corpus 'nope'"),
    ("stage1.validation.requests", "nope", "no corpus 'nope'"),
    ("data.altered", {"no": ["telephone"]}, "no corpus 'no'"),
    ("data.corpora", {"ravdess": {"plain": "no"}}, "a valid boolean"),
    ("data.corpora", {"ravdess": {"folds": 2.5}}, "a valid integer"),
    ("data.corpora", {"ravdess": {"folds": 1}}, "0 for none, or 2 and more"),
    ("data.synthesise.asr.sentences", 5, "string"),
    ("data.corpora", {"ravdess": {"copy": "false"}}, "a valid boolean"), ("data.synthesise", [1], "a valid dictionary"),
    ("data.corpora", {"ravdess": {"splits": "train"}}, "valid list"),
    ("data.corpora", {"ravdess": {"speeds": [-1.1]}}, "equal to 0.5"),
    # runs and systems
    ("runs", None, "a valid dictionary"), ("runs.core", ["blsp"], "a valid dictionary"), ("runs.cor", {}, "no setting"),
    ("runs.core.blsp", 3, "a valid dictionary"), ("runs.core.blsp-emo.seed", "one", "a valid integer"),
    ("runs.core.blsp.stage", "stage3", "'stage1', 'stage2' or 'classifier'"), ("runs.core/bl.sp", RUN, "another name"),
    ("runs.core/2024", RUN | {"from": "models/2024"}, "by way of itself"),
    ("runs.core/a b", RUN, "another name"), ("runs.core.blsp.stage", GONE, "is missing; add it"),
    ("runs.core.blsp-emo.from", GONE, "is missing; add it"), ("runs.core.blsp-emo.from", ["llm"], "a valid string"),
    ("runs.core.blsp-emo.from", "models/nope", "models/<a run of stage1>"),
    ("runs.core.blsp-emo.from", "models/blsp-emo", "by way of itself"),
    ("runs.core.blsp.from", "models/x", "wanted is llm"),
    ("runs.core.blsp-emo.from", "models/wavlm+llm", "models/<a run of stage1>"),
    ("runs.core.blsp-emo.fold", "two", "a valid integer"), ("runs.core.blsp-emo.fold", 9, "but folds is 0"),
    ("runs.core.blsp-emo.system", 3, "a valid string"), ("runs.core.probe", RUN, "two systems"),
    ("runs.full.blsp", RUN, "two systems"), ("runs.full.text+llm", RUN, "two systems"),
    ("runs.full.no-emotion-loss.emotion_weight", -1, "equal to 0"),
    ("runs.core.blsp-emo.lora_rnk", 4, "'lora_rnk' is not a setting of stage2, which has targets"),
    ("systems/a.b", {"class": "TextLLM", "reads": "manifests"}, "another name"), ("systems/s", "TextLLM", "dictionary"),
    ("systems/s", {"class": "TextLM", "reads": "manifests"}, "no class 'TextLM' in blsp_core/evaluation/systems.py"),
    ("stage1.adapter.type", "linear", "stage1.adapter: no type 'linear' in blsp_core/model/adapters.py"),
    ("runs.full.salmonn.adapter.type", "qfomer", "salmonn.adapter: no type 'qfomer'"),
    ("systems/s", {"class": "External"}, "reads is missing"), ("systems/s", None, "a valid dictionary"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "wanted"), BAD)
def test_a_bad_value_is_refused_before_anything_runs(name, value, wanted):
    with pytest.raises(StudyError) as refused:
        params.check_params(changed(name, value), Path("study/params.yaml"))
    one_sentence(refused, wanted, "study/params.yaml")


BROKEN = {
    "a list": b"- a", "a text": b"hello", "a number": b"5", "nothing": b"", "not closed": b"scale: {mini",
    "a tab": b"scale:\tmini\n\tx: 1", "a name twice": b"scale: a\nscale: b", "an endless value": b"scale: &z {a: *z}",
    "UTF-16": "scale: mini".encode("utf-16"), "Latin-1": "scale: m\xefni".encode("latin-1"), "NUL": b"scale: m\x00",
}  # fmt: skip


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", ["params.yaml", "scales/other.yaml"])
def test_a_file_that_is_none_is_refused_and_params_stay_as_they_are(tmp_path, content, name):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "scales", tmp_path / "scales")
    (tmp_path / name).write_bytes(content)
    before = (tmp_path / "params.yaml").read_bytes()
    with pytest.raises(StudyError) as refused:
        params.set_scale(tmp_path, "other" if name.startswith("scales") else "smoke")
    one_sentence(refused, name)
    assert (tmp_path / "params.yaml").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "scales"]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("stage1: {steps: many}", "stage1.steps is 'many'; wanted is a valid integer"),
        ("stage1: 5", "stage1 is 5"), ("runs: [a]", "runs is ['a']"), ("data:", "data is None"),
        ("stage1: {stepz: 5}", "stage1.stepz is no setting that there is"), ("stag1: {}", "'stag1' is no section"),
        ("seed: {a: 1}", "seed is {'a': 1}"),
    ],
)  # fmt: skip
def test_a_scale_with_a_bad_value_changes_nothing(tmp_path, content, wanted):
    test_a_file_that_is_none_is_refused_and_params_stay_as_they_are(tmp_path, content.encode(), "scales/other.yaml")
    with pytest.raises(StudyError) as refused:
        params.set_scale(tmp_path, "other")
    one_sentence(refused, wanted, "other.yaml")


@pytest.mark.parametrize("scale", ["none", "../params", "", "mini"])
def test_a_scale_that_is_not_there_is_refused(tmp_path, scale):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "scales", tmp_path / "scales")
    with pytest.raises(StudyError, match="there is no such scale; wanted is gpu, laptop, paper, smoke"):
        params.set_scale(tmp_path, scale)


@pytest.mark.parametrize("scale", ["smoke", "laptop", "gpu", "paper"])
def test_every_scale_is_valid(tmp_path, scale):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "scales", tmp_path / "scales")
    params.set_scale(tmp_path, scale)
    assert params.read_params(tmp_path)["scale"] == scale
    with pytest.raises(StudyError, match=f"is at scale {scale}; a scale is laid over mini"):
        params.set_scale(tmp_path, scale)


def test_the_weight_of_a_loss_of_ones_own_is_a_setting():
    params.check_params(changed("stage2.norm_weight", 0.1), Path("params.yaml"))
