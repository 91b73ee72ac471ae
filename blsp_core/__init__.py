"""BLSP-Emo (arXiv 2406.03872): the model, the data and the experiments.

After `import blsp_core`, transformers' Auto classes load a BLSP-Emo folder. Our own commands and the stages of the
pipeline import what they need themselves, so that they start without torch and transformers.
"""

import os
import sys

if not ("BLSP_STAGE" in os.environ or sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0]).startswith("blsp-")):
    from blsp_core.model import modeling as modeling  # registers config and model
    from blsp_core.model import processing as processing
