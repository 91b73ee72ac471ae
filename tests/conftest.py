"""What holds for every test: models are tiny, so one thread is fastest; nothing is fetched; nothing draws a bar."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
