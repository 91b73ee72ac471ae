"""The experiment: prompts, foundation, continuations, training, systems, tasks, judging, statistics, figures."""
