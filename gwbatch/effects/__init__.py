"""Effects, the actions that a handler can request, each with a key that is unique for the lifetime of the ledger.

A handler returns or yields effects, and executors execute them once, after the handler's transaction. Most handlers
need only `label`, `upload`, `copy_file` and `log`. The modules `kinds`, `notices` and `mdc` have all of gwbatch's own.
To add another kind, define a subclass of `Effect` and its executor.
"""

from __future__ import annotations

from collections.abc import Iterable

from gwbatch.effects.base import KINDS, Effect, Row, decode, encode
from gwbatch.effects.kinds import CopyFile, Label, Log, Upload

__all__ = ["KINDS", "Effect", "Row", "copy_file", "decode", "encode", "label", "log", "upload"]


def label(target: str, name: str, *, after: str | None = None) -> Label:
    """Set the label `name` on the event or superevent `target`, once."""
    return Label(target, name, after=after)


def upload(
    target: str,
    filename: str,
    path: str,
    *,
    comment: str = "",
    tags: Iterable[str] = (),
    version: str = "0",
    after: str | None = None,
    urgent: bool = False,
) -> Upload:
    """Upload the file at `path` as `filename` with a log message; `version` distinguishes one content from the next."""
    return Upload(
        target, filename, path, comment=comment, tags=tuple(tags), version=version, after=after, urgent=urgent
    )  # fmt: skip


def copy_file(
    source: str,
    target: str,
    filename: str,
    *,
    source_name: str,
    version: str,
    comment: str,
    tags: Iterable[str],
    after: str | None,
    urgent: bool = False,
) -> CopyFile:
    """Copy the newest version of `source_name` of one GraceDB object to another, as `filename`."""
    return CopyFile(source, source_name, target, filename, comment, tuple(tags), version, urgent, after=after)


def log(target: str, comment: str, *, key: str, tags: Iterable[str] = ()) -> Log:
    """Write a log message without a file; `key` distinguishes one message from the next."""
    return Log(target, comment, tuple(tags), key)
