"""The one error that a user of the study is meant to read."""

from collections.abc import Iterator
from contextlib import contextmanager


class StudyError(Exception):
    """Bad input: one sentence that says what, where, what was wanted and what to do."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters of it; the name of its class where it has none."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line if len(line) <= 200 else f"{line[:200]}..."


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Whatever a library raises about files that it cannot use becomes `what`, one sentence, with its reason."""
    try:
        yield
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # libraries raise errors of every kind about a broken file
        if "OutOfMemory" in type(error).__name__:  # torch's
            raise
        raise StudyError(f"{what} ({type(error).__name__}: {first_line(error)})") from None
