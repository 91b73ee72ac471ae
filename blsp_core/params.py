"""params.yaml: the settings of every stage, the runs at three levels, and the scales that change both."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML, YAMLError

from blsp_core.errors import StudyError

PARAMS = "params.yaml"
LEVELS = ("core", "full", "extra")  # groups of runs, each with a dvc.yaml: ./, full/ and extra/
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_-]*")  # of a run: a file name and a DVC key; DVC reads a dot as a path
RESERVED = ("stage", "from", "seed", "system", "fold")  # keys of a run that are not settings of its section


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _one_of(*names: str) -> tuple:
    return f"one of {', '.join(names)}", lambda value: value in names


# What a setting must be, by its name in any section; in a mapping, what has no kind of its own has that of the mapping.
_COUNT = "a whole number from 1", lambda value: type(value) is int and value >= 1
_FROM_0 = "a whole number from 0", lambda value: type(value) is int and value >= 0
_RATE = "a number above 0, at most 1", lambda value: _is_number(value) and 0 < value <= 1
_POSITIVE = "a number above 0", lambda value: _is_number(value) and value > 0
_NOT_BELOW_0 = "a number from 0", lambda value: _is_number(value) and value >= 0
_SHARE = "a share from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1
_FLAG = "true or false", lambda value: isinstance(value, bool)
_TEXT = "a text", lambda value: isinstance(value, str)
_PLACE = "a text or null", lambda value: value is None or isinstance(value, str)
_TEXTS = "a list of texts", lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value)
_NUMBERS = (
    "a list of numbers above 0",
    lambda value: isinstance(value, list) and value and all(_is_number(one) and one > 0 for one in value),
)
_NAMES = {
    _COUNT: "steps batch_size gradient_accumulation max_new_tokens test_size utterances validations width layers heads "
    "ffn inner_dim window",
    _FROM_0: "seed folds save_steps workers losses lora_rank",
    _RATE: "learning_rate learning_rates data_share",
    _POSITIVE: "temperature lora_alpha steps_factor",
    _NOT_BELOW_0: "noise norm max_wer emotion_weight",
    _SHARE: "warmup_share min_accuracy repeat_share lora_dropout",
    _FLAG: "real_frames released_kl cache_states cache_features head.train train_encoder train_front semantic_clips "
    "shuffle_labels from_stage1 spec_augment",
    _TEXT: "scale revision hub_revision requests dialogues acoustics_corpus base_url",
    _PLACE: "source",
    _TEXTS: "targets corpora stage1_corpora stage2_corpora train_corpora test_corpora init chosen_on",
    _NUMBERS: "penalties kernel_sizes conv_widths conv_kernels conv_strides",
    _one_of("adamw", "muon"): "optimizer",
    _one_of("last", "mix", "last+mix"): "encoder_layers",
    _one_of("speech", "everywhere"): "lora_scope",
    _one_of("wav2vec2", "hubert", "wavlm"): "architecture",
    _one_of("stage1", "stage2", "classifier"): "stage",
}
KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def check(name: str, value, where: str, kind: tuple | None = None) -> None:
    """Raise StudyError for a setting, or one inside a mapping, that is not of its kind. where: ends with its name."""
    parent = re.split(r"[.: ]+", where)[-2:-1]
    wanted, fits = KINDS.get(".".join([*parent, name])) or KINDS.get(name) or kind or ("", None)
    if isinstance(value, Mapping):
        for key, entry in value.items():
            check(str(key), entry, f"{where}.{key}", (wanted, fits))
    elif fits and not fits(value):
        raise StudyError(f"{where} is {value!r}; wanted is {wanted}")


def find_root() -> Path:
    """The study's folder: the current one or the nearest above it, else the package's own."""
    for folder in [Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[1]]:
        if (folder / PARAMS).is_file() and (folder / "notebooks").is_dir():
            return folder.resolve()
    raise StudyError(f"{Path.cwd()}: no study here; go to a folder that holds {PARAMS} and notebooks/")


def read_params(root: Path) -> dict:
    """params.yaml as DVC reads it (YAML 1.2). Raises StudyError when it is missing, invalid, or a run is misnamed."""
    path = Path(root) / PARAMS
    try:
        params = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = path if line is None else f"{path}, line {line + 1}"
        raise StudyError(f"{where}: cannot be read ({getattr(error, 'problem', None) or error}); correct it") from None
    if not isinstance(params, dict) or not isinstance(params.get("scale"), str):
        raise StudyError(f"{path}: `scale` is {(params or {}).get('scale')!r}; wanted is the name of a scale")
    for name, run in all_runs(params).items():
        if not NAME.fullmatch(name):
            raise StudyError(f"{path}: the run {name!r} needs another name: letters, digits, + - _ only, no dot")
        if not isinstance(run, dict):
            raise StudyError(f"{path}: runs.{name} is {run!r}; wanted is {{stage: ..., from: ..., seed: ...}}")
        check("runs", run, f"{path}: runs.{name}")
    for section in [name for name in params if name not in ("runs", "systems", "data")]:  # keys of data are corpora
        check(section, params[section], f"{path}: {section}")
    for corpus, splits in (params.get("data", {}).get("synthesise") or {}).items():
        sizes = {name: value for name, value in splits.items() if name != "sentences"}
        check("synthesise", sizes, f"{path}: data.synthesise.{corpus}", _FROM_0)
    return params


def all_runs(params: Mapping, level: str = LEVELS[-1]) -> dict[str, dict]:
    """The trained runs of `level` and of the levels below it, by name, in the order of params.yaml."""
    levels = LEVELS[: LEVELS.index(level) + 1]
    return {name: run for each in levels for name, run in (params.get("runs", {}).get(each) or {}).items()}


def level_of(params: Mapping, name: str) -> str:
    """The level that lists a run; systems that are not trained belong to `core`."""
    return next((level for level in LEVELS if name in (params.get("runs", {}).get(level) or {})), LEVELS[0])


def resolve(params: Mapping, section: str, run: str | None = None) -> dict:
    """The settings of a section of params.yaml with those of a run laid over them.

    `{fold}` in a text becomes the run's fold; for what is not trained, an entry of a list becomes one for each of
    `folds`. Raises StudyError for a section, a run or a setting that is not there.
    """
    if not isinstance(params.get(section), Mapping):
        raise StudyError(f"{PARAMS}: there is no section {section}, which this stage needs; add it")
    settings, own = dict(params[section]), all_runs(params).get(run, {})
    if own.get("stage") == section:
        changes = {key: value for key, value in own.items() if key not in RESERVED}
        settings = with_changes(settings, changes, section, f"{PARAMS}, runs.{run}")
    folds = [own["fold"]] if "fold" in own else range(1, params.get("folds", 0) + 1)
    return _with_folds(settings, list(folds))


def with_changes(settings: dict, changes: Mapping, section: str, where: str) -> dict:
    """The settings with changes laid over them; a mapping changes the entries that it names, one with a `type` all."""
    for key, value in changes.items():
        if key not in settings:
            raise StudyError(f"{where}: {key!r} is not a setting of {section}, which has {', '.join(settings)}")
        check(key, value, f"{where}: {key}")
        both = isinstance(settings[key], Mapping) and isinstance(value, Mapping) and "type" not in value
        settings = {**settings, key: {**settings[key], **value} if both else value}
    return settings


def _with_folds(value, folds: list[int]):
    if isinstance(value, Mapping):
        return {key: _with_folds(entry, folds) for key, entry in value.items()}
    if isinstance(value, list):
        many = [folds if isinstance(entry, str) and "{fold}" in entry else folds[:1] or [0] for entry in value]
        return [_with_folds(entry, [fold]) for entry, own in zip(value, many, strict=True) for fold in own]
    return value.replace("{fold}", str(folds[0])) if isinstance(value, str) and folds else value


def set_scale(root: Path, scale: str) -> None:
    """Lay the values of scales/`scale`.yaml over params.yaml, which is committed at scale mini; the rest stays."""
    path, yaml = root / "scales" / f"{scale}.yaml", YAML()
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise StudyError(f"{path}: there is no such scale; wanted is {known}, or `git checkout {PARAMS}` for mini")
    yaml.width = 120
    params = yaml.load((root / PARAMS).read_text(encoding="utf-8"))
    if params["scale"] != "mini":
        raise StudyError(f"{PARAMS}: is at scale {params['scale']}; a scale is laid over mini: `git checkout {PARAMS}`")
    params["scale"] = scale
    for section, values in yaml.load(path.read_text(encoding="utf-8")).items():
        if isinstance(values, Mapping) and section != "runs":
            params[section].update(values)
        else:
            params[section] = values
    with open(root / PARAMS, "w", encoding="utf-8") as file:
        yaml.dump(params, file)
