"""How far a long loop is: a bar for a person, a line of text at times in the pipeline's log."""

import os
import time
from collections.abc import Iterable, Iterator, Sized

from tqdm.auto import tqdm

EVERY = 10.0  # seconds; with the time of one step, a line appears at least every 15 s


def progress(items: Iterable, what: str, total: int | None = None) -> Iterator:
    """The items. Where TQDM_DISABLE is set, a line "what: step 3 of 8, 20 s left" is printed every few seconds."""
    total = len(items) if total is None and isinstance(items, Sized) else total
    if not os.environ.get("TQDM_DISABLE"):
        yield from tqdm(items, desc=what, total=total)
        return
    start = last = time.monotonic()
    for step, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= EVERY:
            left = f" of {total}, {(now - start) / step * (total - step):.0f} s left" if total else ""
            print(f"{what}: step {step}{left}", flush=True)
            last = now
