"""The exceptions of gwbatch: one base, a remedy in every message, and whether a retry can help."""

from __future__ import annotations

import errno
import random

# What the machine or the other side may have got over by the next try; None is what network libraries leave.
_PASSING = {None, errno.EAGAIN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EDQUOT, errno.EINTR}
_PASSING |= {errno.EHOSTUNREACH, errno.EIO, errno.EMFILE, errno.ENETUNREACH, errno.ENFILE, errno.ENOMEM, errno.ENOSPC}
_PASSING |= {errno.EPIPE, errno.ETIMEDOUT}


class GwbatchError(Exception):
    """Something gwbatch cannot go on with; the message says what happened, to what, and what to do.

    Attributes
    ----------
    transient : bool
        Whether the same call may succeed later without anybody doing anything.
    exit_code : int
        What a command that ends with this error returns to the shell.
    retry_after : float or None
        Seconds before the next attempt, if the error says so.
    expected : float or None
        Unix time until which waiting is normal and no problem.
    """

    transient = False
    exit_code = 1
    retry_after: float | None = None
    expected: float | None = None


class TransientError(GwbatchError):
    """The other side did not answer, or said that it is busy: worth another try later."""

    transient = True


class NotThereYet(TransientError):
    """Something is expected to be available later; until then waiting for it is no problem."""

    def __init__(self, message: str, retry_after: float, expected: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.expected = expected


class BadInput(GwbatchError):
    """A message or file that nobody can process: kept as a dead letter, never retried by itself."""

    exit_code = 3


class ConfigError(GwbatchError):
    """A profile or policy file is invalid, or something that it names is missing."""

    exit_code = 2


class LeaseLost(GwbatchError):
    """Another process holds the lease now; whatever this one was about to write is not written."""


class LedgerBusy(TransientError):
    """The ledger stayed locked for longer than the busy timeout."""


class LedgerUnwritable(LedgerBusy):
    """The disk is full or broken; nothing was written, and everything is tried again later."""


class AlreadyRunning(GwbatchError):
    """A dispatcher already works on this state directory."""

    exit_code = 4


class NetworkFileSystem(ConfigError):
    """The state directory is on a network file system, where SQLite's locks cannot be trusted."""


_EXTRAS = {
    "science": ("ligo", "astropy", "healpy", "numpy", "scipy", "matplotlib", "lal", "lalsimulation"),
    "alerts": ("fastavro", "jsonschema", "igwn_gwalert_schema", "gwframe", "gwdatafind"),
    "sandbox": ("starlette", "uvicorn", "multipart", "python_multipart"),
    "console": ("prometheus_client", "anyio"),
    "htcondor": ("htcondor2", "classad2"),
    "mpi": ("mpi4py",),
}


def missing_package(error: ModuleNotFoundError) -> GwbatchError:
    """Return an error that says which extra brings the module that could not be imported."""
    module = (error.name or "").partition(".")[0]
    extra = next((name for name, modules in _EXTRAS.items() if module in modules), "all")
    return ConfigError(f"Cannot import {error.name or error}: it is not installed. Run: pip install 'gwbatch[{extra}]'")


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed later without anybody changing it."""
    if isinstance(error, GwbatchError):
        return error.transient
    return isinstance(error, OSError) and error.errno in _PASSING


def describe(error: BaseException) -> str:
    """Return an exception as a reason for people to read."""
    return printable(str(error) if isinstance(error, GwbatchError) else f"{type(error).__name__}: {error}")


def printable(text: str) -> str:
    """Spell out lone surrogates, as undecodable file names bring them, so that `text` can be stored."""
    return text.encode(errors="backslashreplace").decode()


def backoff(attempts: int, *, first: float = 0.5, longest: float = 60.0) -> float:
    """Return the seconds before attempt ``attempts + 1``: doubling, capped, with up to a fifth of jitter."""
    return min(longest, first * 2.0 ** min(attempts - 1, 30)) * random.uniform(0.8, 1.0)
