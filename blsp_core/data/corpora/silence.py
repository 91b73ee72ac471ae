"""Where the voice begins and ends in a recording."""

import numpy as np

from blsp_core.data.audio import SAMPLE_RATE

_HOP = SAMPLE_RATE // 50
_MARGIN = SAMPLE_RATE // 10


def voiced_part(sound: np.ndarray, below: float) -> tuple[int, int]:
    """First sample and the one after the last, of 16 kHz sound (samples,), that a quiet start and end leave.

    below: dB under the loudest fiftieth of the clip; what stays quieter, 20 ms by 20 ms, up to the first or from the
    last louder place on, is left out but for a tenth of a second. A clip that is silent all through is left whole.
    """
    places = len(sound) // _HOP
    if not places:
        return 0, len(sound)
    level = np.sqrt(np.mean(sound[: places * _HOP].reshape(places, _HOP).astype(np.float64) ** 2, axis=1))
    loud = np.flatnonzero(level > np.quantile(level, 0.98) * 10 ** (-below / 20))
    if not len(loud):
        return 0, len(sound)
    return max(0, int(loud[0]) * _HOP - _MARGIN), min(len(sound), (int(loud[-1]) + 1) * _HOP + _MARGIN)
