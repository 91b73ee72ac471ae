"""The model of BLSP-Emo. Imports torch, transformers and peft, and of this package the error class only.

The names below are imported when they are first used: the speech encoder alone does not need the rest.
"""

import importlib

_MODULES = {
    "BlspEmoConfig": "configuration",
    "BlspEmoForConditionalGeneration": "modeling",
    "BlspEmoOutput": "modeling",
    "BlspEmoProcessor": "processing",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
