"""Failures that a user can mend, each with the exit code that schedulers act on."""

DONE = 0
UNEXPECTED = 1
USAGE = 64
BAD_DATA = 65
NON_FINITE = 70
CANNOT_WRITE = 73
SHARD_IO = 74
PREEMPTED = 75
PEER_FAILURE = 76


class ValenzaError(Exception):
    """A failure with a message for the user; the command line prints it and exits with `code`, never a traceback."""

    code = USAGE


class UsageError(ValenzaError):
    """A command line, recipe or manifest that cannot be used as written."""


class DataError(ValenzaError):
    """Audio or labels that contradict what their manifest says."""

    code = BAD_DATA


class NonFiniteError(ValenzaError):
    """A loss or gradient that is NaN or infinite."""

    code = NON_FINITE


class WriteError(ValenzaError):
    """A disk that is full or a folder that cannot be written."""

    code = CANNOT_WRITE


class ShardError(ValenzaError):
    """A shard or index that is missing, damaged, or not the one that was described."""

    code = SHARD_IO


class ClipError(ShardError):
    """A stored clip that is not as it was written, in a shard that can be read."""


class PreemptedError(ValenzaError):
    """A run that was asked to end, and whose checkpoint is written."""

    code = PREEMPTED


class PeerError(ValenzaError):
    """Processes of one run that do not agree, or a peer that is gone."""

    code = PEER_FAILURE
