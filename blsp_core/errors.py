"""The one error that a user of the study is meant to read."""


class StudyError(Exception):
    """Bad input: one sentence that says what, where, what was wanted and what to do."""
