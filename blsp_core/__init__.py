"""The model, the speech and the experiment of BLSP-Emo (arXiv 2406.03872)."""
