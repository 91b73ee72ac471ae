"""BLSP-Emo (arXiv 2406.03872): the model, the data and the experiments.

After `import blsp_core`, transformers' Auto classes load a BLSP-Emo folder. The import itself loads neither torch nor
transformers: our modules register themselves as soon as transformers' own tables are imported.
"""

import importlib
import importlib.util
import sys
from importlib.abc import MetaPathFinder


class _Registration(MetaPathFinder):
    """After a module of transformers is imported, import ours that registers there."""

    ours = {
        "transformers.models.auto.configuration_auto": "blsp_core.model.configuration",
        "transformers.models.auto.processing_auto": "blsp_core.model.processing",
    }

    def find_spec(self, name, path=None, target=None):
        ours = self.ours.pop(name, None)
        if ours is None:
            return None
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_register(module):
            load(module)
            importlib.import_module(ours)

        spec.loader.exec_module = load_and_register
        return spec


for _theirs, _ours in [*_Registration.ours.items()]:
    if _theirs in sys.modules:
        importlib.import_module(_Registration.ours.pop(_theirs))
if _Registration.ours:
    sys.meta_path.insert(0, _Registration())
