"""The exceptions of gwbatch: one base class, a remedy in every message, and a flag that tells if a retry can help."""

from __future__ import annotations

import errno
import random

# Errors that may have passed by the next try. Network libraries raise OSError without an errno (None).
_PASSING = {None, errno.EAGAIN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EDQUOT, errno.EINTR}
_PASSING |= {errno.EHOSTUNREACH, errno.EIO, errno.EMFILE, errno.ENETUNREACH, errno.ENFILE, errno.ENOMEM, errno.ENOSPC}
_PASSING |= {errno.EPIPE, errno.ETIMEDOUT}


class GwbatchError(Exception):
    """An error that stops an operation; the message says what happened, to what, and what to do.

    Attributes
    ----------
    transient : bool
        Whether the same call may succeed later without intervention.
    exit_code : int
        Exit code of a command that ends with this error.
    retry_after : float or None
        Seconds to wait before the next attempt, if the error gives them.
    expected : float or None
        Unix time until which waiting is normal.
    """

    transient = False
    exit_code = 1
    retry_after: float | None = None
    expected: float | None = None


class TransientError(GwbatchError):
    """The other side did not answer or was busy; a later try may succeed."""

    transient = True


class NotThereYet(TransientError):
    """Something is not available yet, and waiting for it is normal until `expected`."""

    def __init__(self, message: str, retry_after: float, expected: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.expected = expected


class BadInput(GwbatchError):
    """A message or file that cannot be processed; it is kept as a dead letter and never retried automatically."""

    exit_code = 3


class ConfigError(GwbatchError):
    """A profile or policy file is invalid, or something that it names is missing."""

    exit_code = 2


class LeaseLost(GwbatchError):
    """Another process holds the lease now, so this one may no longer write to the ledger."""


class LedgerBusy(TransientError):
    """The ledger stayed locked for longer than the busy timeout."""


class LedgerUnwritable(LedgerBusy):
    """The disk is full or broken; nothing was written, and everything will be retried."""


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
    """Return an error that names the extra to install for a module that could not be imported."""
    module = (error.name or "").partition(".")[0]
    extra = next((name for name, modules in _EXTRAS.items() if module in modules), "all")
    return ConfigError(f"Cannot import {error.name or error}: it is not installed. Run: pip install 'gwbatch[{extra}]'")


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed later without intervention."""
    if isinstance(error, GwbatchError):
        return error.transient
    return isinstance(error, OSError) and error.errno in _PASSING


def describe(error: BaseException) -> str:
    """Return an exception as a readable reason."""
    return printable(str(error) if isinstance(error, GwbatchError) else f"{type(error).__name__}: {error}")


def printable(text: str) -> str:
    """Escape lone surrogates, which undecodable file names contain, so that `text` can be stored."""
    return text.encode(errors="backslashreplace").decode()


def backoff(attempts: int, *, first: float = 0.5, longest: float = 60.0) -> float:
    """Return the seconds before attempt ``attempts + 1``: doubling, capped, with up to a fifth of jitter."""
    return min(longest, first * 2.0 ** min(attempts - 1, 30)) * random.uniform(0.8, 1.0)
