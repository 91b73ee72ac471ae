from fixtures import backbones, corpus, speech_model  # noqa: F401
