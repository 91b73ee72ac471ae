"""Where speech comes from: audio files, corpora, synthesis and the miniature language."""
