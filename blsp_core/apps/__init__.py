"""Front doors for people: convert released checkpoints, generate from JSONL."""
