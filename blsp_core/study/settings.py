"""params.yaml: which scale the study runs at, and the settings of each of its stages.

Two rules hold. A stage's settings are its section, overlaid by `scales.<scale>.<section>` and, where the stage has
several runs, by the run's own entry (`variants.<name>` and the like, see `RUNS`). An overlay may only change what the
section has: a key that is new there is a slip of the pen, and an error.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

from ruamel.yaml import YAML, YAMLError

from blsp_core.errors import StudyError

PARAMS = "params.yaml"
AGAIN = ("blsp", "blsp-emo")  # systems that are trained at `further_seeds` as well
RUNS = {"stage1": "semantic", "stage2": "variants", "classifier": "classifiers"}  # stage -> where its runs are listed


class Settings(SimpleNamespace):
    """The settings of one stage as attributes; `vars(settings)` is the dictionary."""

    __slots__ = ("_section",)

    def __init__(self, section: str, values: Mapping):
        super().__init__(**values)
        self._section = section

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        raise StudyError(f"{PARAMS}, section {self._section}: there is no setting {name!r}; add it there with its unit")


def read_params(root: Path) -> dict:
    """The whole of params.yaml, read as DVC reads it (YAML 1.2: `1e-4` is a number, `no` is a word)."""
    path = Path(root) / PARAMS
    try:
        params = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(f"{path}: there is no such file; run from within the study's folder") from None
    except YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = path if line is None else f"{path}, line {line + 1}"
        raise StudyError(f"{where}: not valid YAML ({getattr(error, 'problem', None) or error}); mend it") from None
    if not isinstance(params, dict):
        raise StudyError(f"{path}: holds no settings; wanted are `scale`, `seed`, `scales` and one section per stage")
    return params


def resolve(params: Mapping, section: str, scale: str | None = None, system: str | None = None) -> dict:
    """The settings of one stage at one scale (None: the scale that params.yaml names), overlaid as said above.

    `system`: which of the stage's runs, where it has several. Raises StudyError when section, scale or run is not in
    params.yaml, or an overlay has a key the section lacks.
    """
    scale = scale_of(params, scale)
    settings = _mapping(params, section)
    overlays = {f"scales.{scale}.{section}": _mapping(params, f"scales.{scale}.{section}")}
    if section in RUNS and system is not None:
        runs = _mapping(params, RUNS[section])
        if system not in runs:
            raise StudyError(
                f"{PARAMS}: no {system!r} in `{RUNS[section]}`; there are {', '.join(runs)}; add it there to run it"
            )
        overlays[f"{RUNS[section]}.{system}"] = runs[system] or {}
    return overlay(settings, overlays, section)


def overlay(settings: Mapping, overlays: Mapping[str, Mapping], section: str) -> dict:
    """`settings` with each of `overlays` (name -> values) laid over it; a key it lacks is a StudyError."""
    settings = dict(settings)
    for name, values in overlays.items():
        unknown = [key for key in values if key not in settings]
        if unknown:
            raise StudyError(
                f"{PARAMS}, {name}: {unknown[0]!r} is no setting of the section {section}, "
                f"which has {', '.join(settings) or 'none'}; correct the name or add it to {section} first"
            )
        settings.update(values)
    return settings


def at_seeds(value, seeds: Sequence[int]):
    """Settings whose texts may say `{seed}`: the first of the seeds is put there, and an entry of a list becomes one
    for each of them. So a training run can have a fold of its own, and what is not trained all folds."""
    if isinstance(value, Mapping):
        return {key: at_seeds(entry, seeds) for key, entry in value.items()}
    if isinstance(value, list):
        many = [seeds if isinstance(entry, str) and "{seed}" in entry else seeds[:1] for entry in value]
        return [at_seeds(entry, [seed]) for entry, own in zip(value, many, strict=True) for seed in own]
    return value.replace("{seed}", str(seeds[0])) if isinstance(value, str) else value


def scale_of(params: Mapping, scale: str | None = None) -> str:
    """The scale to run at, checked against `scales`."""
    scale = params.get("scale") if scale is None else scale
    scales = _mapping(params, "scales")
    if scale not in scales:
        raise StudyError(f"{PARAMS}: no scale {scale!r}; `scale` must be one of {', '.join(scales)}")
    return scale


def _mapping(params: Mapping, path: str) -> Mapping:
    """The mapping at a dotted path of params.yaml; empty counts, missing does not."""
    found = params
    for key in path.split("."):
        if not isinstance(found, Mapping) or key not in found:
            raise StudyError(f"{PARAMS}: there is no section {path}; add it, empty ({{}}) if it has nothing to say")
        found = found[key]
    if not isinstance(found, Mapping) and found is not None:
        raise StudyError(f"{PARAMS}, {path}: {found!r} is not a section; wanted are lines `setting: value`")
    return found or {}
