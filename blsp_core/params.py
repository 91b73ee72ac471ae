"""params.yaml: the settings of every stage, the runs at three levels, and the scales that change both."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML, YAMLError

from blsp_core import schema
from blsp_core.errors import StudyError, first_line

PARAMS = "params.yaml"
LEVELS = ("core", "full", "extra")  # groups of runs, each with a dvc.yaml: ./, full/ and extra/
RESERVED = ("stage", "from", "seed", "system", "fold")  # keys of a run that are not settings of its section
TRAINED = ("stage1", "stage2", "classifier")
STARTS = {"stage1": "llm", "classifier": "manifests"}  # what their runs start from


def check(model: type[BaseModel], value, where: str) -> None:
    """Raise StudyError, about one of them, for settings that are unknown, missing or not of their kind."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] == "missing")
        names, found, wanted = [str(name) for name in faults[0]["loc"]], repr(faults[0]["input"]), faults[0]["msg"]
        found = found if len(found) <= 60 else f"{found[:60]}..."
        place = f"{where}: {'.'.join(names)}" if names else where
        if "[key]" in names:
            what = f"{place.removesuffix('.[key]')} needs another name: letters, digits, + - _ only, no dot"
        elif faults[0]["type"] == "extra_forbidden" or "pattern" in wanted and found == repr(names[-1]):
            what = f"{place} is no setting that there is; correct its name, or remove it"
        elif faults[0]["type"] == "missing":
            what = f"{place} is missing; add it"
        else:
            wanted = "letters, digits, + - _ only" if "pattern" in wanted else wanted.removeprefix("Input should be ")
            what = f"{place} is {found}; wanted is {wanted.removeprefix('Value error, ')}"
        raise StudyError(what) from None


def find_root() -> Path:
    """The study's folder: the current one or the nearest above it, else the package's own."""
    for folder in [Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[1]]:
        if (folder / PARAMS).is_file() and (folder / "notebooks").is_dir():
            return folder.resolve()
    raise StudyError(f"{Path.cwd()}: no study here; go to a folder that holds {PARAMS} and notebooks/")


def default_model() -> Path:
    """The study's `models/mini`, or else the blsp-emo of its scale. Raises StudyError when neither exists."""
    root = find_root()
    committed = root / "models/mini"
    if (committed / "config.json").is_file():
        return committed
    own = root / "data" / read_params(root)["scale"] / "models/blsp-emo"
    if (own / "config.json").is_file():
        return own
    raise StudyError(f"{committed}: there is no model; run `dvc repro`, or name a model")


def read_params(root: Path) -> dict:
    """params.yaml as DVC reads it (YAML 1.2). Raises StudyError when it cannot be read or used, see `check_params`."""
    path = Path(root) / PARAMS
    params = _read_yaml(path)
    check_params(params, path)
    return params


def check_params(params, path: Path) -> None:
    """Raise StudyError when a setting is missing, unknown or not of its kind, when a run cannot be trained from what it
    names, and when a corpus has no reader or two meanings. path: of the file that the sentence names."""
    check(schema.PARAMS, params, str(path))
    _check_runs(params, path)
    data = params["data"]
    for corpus in data["corpora"]:
        if "CORPUS = " not in _source(f"data/corpora/{corpus}.py"):
            raise StudyError(f"{path}: data.corpora.{corpus} has no reader in blsp_core/data/corpora; see data.custom")
    systems = {*(run.get("system", name) for name, run in all_runs(params).items()), *(params.get("systems") or {})}
    if unknown := [name for name in params["evaluation"]["altered"] if name not in systems]:
        raise StudyError(
            f"{path}: evaluation.altered: no system {unknown[0]!r}; there are {', '.join(sorted(systems))}"
        )
    classes = re.findall(r"^class (\w+)", _source("evaluation/systems.py"), re.MULTILINE)
    for name, system in (params.get("systems") or {}).items():
        if system["class"] not in classes:
            raise StudyError(f"{path}: systems.{name}: no class {system['class']!r} in blsp_core/evaluation/systems.py")
    adapters = re.findall(r'"(\w+)"', _source("model/adapters.py"))
    for where, settings in [("stage1", params["stage1"]), ("stage2", params["stage2"]), *all_runs(params).items()]:
        kind = (settings.get("adapter") or {}).get("type", "")
        if kind and kind not in adapters:
            raise StudyError(f"{path}: {where}.adapter: no type {kind!r} in blsp_core/model/adapters.py")
    known = {*data["synthesise"], *data["corpora"], *data["custom"]}
    for where, corpus in _corpora_named(params):
        if corpus and corpus.partition(".")[0] not in known:
            raise StudyError(f"{path}: {where}: no corpus {corpus!r} in data; there are {', '.join(sorted(known))}")
    for one, other in (("custom", "synthesise"), ("custom", "corpora"), ("corpora", "synthesise")):
        if both := data[one].keys() & data[other].keys():
            raise StudyError(f"{path}: {min(both)} is in data.{one} and in data.{other}; give one another name")


def _source(module: str) -> str:
    """The code of a module of this package, "" for none; it is not imported, as torch takes seconds."""
    path = Path(__file__).parent / module
    return path.read_text(encoding="utf-8") if path.is_file() else ""


# Settings that name corpora, by section; of a run too.
_CORPORA = {
    "continuations": ("stage1_corpora", "stage2_corpora"), "transcripts": ("corpora",), "stage1": ("validation",),
    "stage2": ("corpora", "validation"), "classifier": ("corpora", "validation"),
    "probe": ("train_corpora", "validation", "test_corpora"), "evaluation": ("ser", "requests", "dialogues"),
    "report": ("acoustics_corpus",),
}  # fmt: skip


def _corpora_named(params: Mapping) -> Iterator[tuple[str, str]]:
    """Every corpus that a setting names, with the place of the setting."""
    yield from (("data.altered", corpus) for corpus in params["data"]["altered"])
    places = [(section, section, params[section]) for section in _CORPORA]
    places += [(f"runs.{level_of(params, name)}.{name}", run["stage"], run) for name, run in all_runs(params).items()]
    for where, section, settings in places:
        for name in _CORPORA[section]:
            found = settings.get(name, ())
            if isinstance(found, Mapping):  # a validation
                found = [found[key] for key in ("ser", "requests") if key in found]
            yield from ((f"{where}.{name}", one) for one in ([found] if isinstance(found, str) else found))


def _read_yaml(path: Path, safe: bool = True):
    yaml = YAML(typ="safe", pure=True) if safe else YAML()
    try:
        return yaml.load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, YAMLError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = path if line is None else f"{path}, line {line + 1}"
        raise StudyError(
            f"{where}: cannot be read ({getattr(error, 'problem', None) or first_line(error)}); correct it"
        ) from None


def _check_runs(params: dict, path: Path) -> None:
    runs, listed = all_runs(params), [name for level in LEVELS for name in params["runs"].get(level) or ()]
    names = Counter([*listed, *(params.get("systems") or {}), "probe"])
    rows = {run["system"] for run in runs.values() if "system" in run} & {*(params.get("systems") or {}), "probe"}
    if twice := [*(name for name, count in names.items() if count > 1), *sorted(rows)]:
        raise StudyError(f"{path}: {twice[0]!r} is the name of two systems; rename the run or system (probe is taken)")
    for name, run in runs.items():
        where, stage, chain = f"{path}: runs.{level_of(params, name)}.{name}", run["stage"], [name]
        if stage in STARTS and run["from"] != STARTS[stage]:
            raise StudyError(f"{where}: from is {run['from']!r}; wanted is {STARTS[stage]}, which {stage} starts from")
        while runs[chain[-1]]["stage"] == "stage2":
            start = runs[chain[-1]]["from"]
            before = start.removeprefix("models/")
            known = before in runs and before not in chain and runs[before]["stage"] != "classifier"
            if not known or start == before:
                raise StudyError(
                    f"{where}: from is {start!r}; wanted is models/<a run of stage1>, and not by way of itself"
                )
            chain.append(before)
        if run.get("fold", 0) > params["folds"]:
            raise StudyError(f"{where}: fold is {run['fold']}, but folds is {params['folds']}")
        if "fold" not in run and "{fold}" in str({**params[stage], **run}):
            raise StudyError(f"{where}: its settings name {{fold}}, but it has no fold; add one, of {params['folds']}")
        check(schema.SECTIONS[stage], resolve(params, stage, name, str(path)), where)


def all_runs(params: Mapping, level: str = LEVELS[-1]) -> dict[str, dict]:
    """The trained runs of `level` and of the levels below it, by name, in the order of params.yaml."""
    levels = LEVELS[: LEVELS.index(level) + 1]
    return {name: run for each in levels for name, run in (params.get("runs", {}).get(each) or {}).items()}


def level_of(params: Mapping, name: str) -> str:
    """The level that lists a run; systems that are not trained belong to `core`."""
    return next((level for level in LEVELS if name in (params.get("runs", {}).get(level) or {})), LEVELS[0])


def resolve(
    params: Mapping, section: str, run: str | None = None, where: str = PARAMS, changes: Mapping | None = None
) -> dict:
    """The settings of a section of params.yaml with those of a run laid over them, and `changes` over both.

    `{fold}` in a text becomes the run's fold; for what is not trained, an entry of a list becomes one for each of
    `folds`. Raises StudyError for a run or a setting that is not there.
    """
    settings, own = dict(params[section]), all_runs(params).get(run, {})
    if section in TRAINED and run is not None and own.get("stage") != section:
        known = ", ".join(name for name, one in all_runs(params).items() if one["stage"] == section)
        raise StudyError(f"{where}: {run!r} is no run of {section}; there are {known}")
    if own.get("stage") == section:
        changed = {key: value for key, value in own.items() if key not in RESERVED}
        settings = with_changes(settings, changed, section, f"{where}: runs.{level_of(params, run)}.{run}")
    folds = [own["fold"]] if "fold" in own else range(1, params.get("folds", 0) + 1)
    settings = _with_folds(settings, list(folds))
    if changes:
        settings = with_changes(settings, changes, section, "changes")
        check(schema.SECTIONS[section], settings, "changes")
    return settings


def with_changes(settings: dict, changes: Mapping, section: str, where: str) -> dict:
    """The settings with changes laid over them; a mapping changes the entries that it names, one with a `type` all."""
    if not isinstance(changes, Mapping):
        raise StudyError(f"{where}: {changes!r}; wanted is a mapping of settings of {section}")
    for key, value in changes.items():
        if key not in settings:
            raise StudyError(f"{where}: {key!r} is not a setting of {section}, which has {', '.join(settings)}")
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
    """Lay the values of scales/`scale`.yaml over params.yaml, which is committed at scale mini; the rest stays. Nothing
    is written where the result would not be valid."""
    path, target = root / "scales" / f"{scale}.yaml", root / PARAMS
    known = sorted(file.stem for file in (root / "scales").glob("*.yaml"))
    if scale not in known:
        raise StudyError(f"{path}: there is no such scale; wanted is {', '.join(known)}, or `git checkout {PARAMS}`")
    before, values, params = read_params(root), _read_yaml(path), _read_yaml(target, safe=False)
    if before["scale"] != "mini":
        raise StudyError(f"{PARAMS}: is at scale {before['scale']}; a scale is laid over mini: `git checkout {PARAMS}`")
    if not isinstance(values, dict):
        raise StudyError(f"{path}: holds {str(values)[:40]!r}; wanted is a mapping of sections of {PARAMS}")
    params["scale"] = scale
    for section, changes in values.items():
        if section not in params:
            raise StudyError(f"{path}: {section!r} is no section of {PARAMS}; correct its name, or remove it")
        if isinstance(changes, Mapping) and isinstance(params[section], Mapping) and section != "runs":
            params[section].update(changes)
        else:
            params[section] = changes
    yaml, new = YAML(), target.with_name(f".{PARAMS}.{os.getpid()}")
    yaml.width = 120
    with open(new, "w", encoding="utf-8") as file:
        yaml.dump(params, file)
    try:
        check_params(_read_yaml(new), path)
    except StudyError:
        new.unlink()
        raise
    new.replace(target)
