"""Errors that a user can fix, and how every other error is reported.

A UserError carries all that a user needs in its message: the value, the place and the remedy. Commands print
it without a traceback. Whatever else is raised is a bug of this project, and its traceback is kept.
"""

NO_MEMORY = (
    "there is not enough memory; close other programs or lower batch_size, and run again: what is finished "
    "is kept"
)
REPORT = "this is a bug of expression-leakage and no mistake of yours; please report it with"


class UserError(Exception):
    """Something that a user can fix; the message says what and how."""


class DataError(UserError, ValueError):
    """A value, a file or a table is not as it must be."""


class ResourceError(UserError, OSError):
    """Something cannot be fetched, read or written, or there is no room for it."""


class MissingPackageError(UserError, ModuleNotFoundError):
    """A package that is needed for this is not installed."""


class JobError(UserError, RuntimeError):
    """A job in other processes failed, or is left to a scheduler."""


def is_memory(name: str, text: str) -> bool:
    """Whether an error of this class and text means that there is too little memory."""
    refused = ("t allocate memory", "t start new thread", "Resource temporarily unavailable")
    return "MemoryError" in name or "OutOfMemory" in name or any(words in text for words in refused)


def is_users(name: str) -> bool:
    """Whether the class of this name is a UserError or an OSError (disk, permission, connection)."""
    error_class = {kind.__name__ for kind in (*_below(UserError), *_below(OSError))}
    return name in error_class


def _below(kind: type) -> list[type]:
    children: list[type] = kind.__subclasses__()
    return [kind, *(each for child in children for each in _below(child))]
