"""BLSP-Emo itself: imports torch, transformers and peft, and nothing of ours but the error.

The names below are imported when first asked for, so that the speech encoder alone can be had without the rest.
"""

import importlib

_HOME = {
    "BlspEmoConfig": "configuration",
    "BlspEmoForConditionalGeneration": "modeling",
    "BlspEmoOutput": "modeling",
    "BlspEmoProcessor": "processing",
    "listen": "listening",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module(f"{__name__}.auto")  # transformers' Auto classes know them from now on
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
