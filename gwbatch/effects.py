"""What a handler may ask for: effects, each with a key that names it for ever.

An effect is carried out once, after the transaction that decided it.  Effects of one `subject` keep their
order; `after` names another effect that has to be done first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LABEL_PRIORITY = 20  # labels are what other people wait for
UPLOAD_PRIORITY = 10


@dataclass(frozen=True)
class Effect:
    """One thing to do to the world.

    Attributes
    ----------
    key : str
        Unique; asking for the same key twice does it once.
    kind : str
        Which executor carries it out (``gracedb.label``, ``job.submit``, ...).
    subject : str
        Effects of the same subject are carried out in the order they were decided.
    args : dict
        JSON-ready arguments of the executor.
    after : str or None
        Key of an effect that must be done before.
    priority : int
        Larger first among those that could run now.
    """

    key: str
    kind: str
    subject: str
    args: Mapping[str, Any] = field(default_factory=dict)
    after: str | None = None
    priority: int = 0


def label(target: str, name: str, *, after: str | None = None) -> Effect:
    """Set the label `name` on the event or superevent `target`.

    A label that waits for another effect does not keep back the others of its target.
    """
    key = f"{target}/label/{name}"
    return Effect(
        key,
        "gracedb.label",
        target if after is None else key,
        {"target": target, "label": name},
        after,
        LABEL_PRIORITY,
    )


def relabel(target: str, name: str, *, occasion: str, on: bool = True, after: str | None = None) -> Effect:
    """Set or take away a label that may come and go; `occasion` tells one time from the next."""
    subject = f"{target}/label/{name}"
    kind, verb = ("gracedb.label", "label") if on else ("gracedb.unlabel", "unlabel")
    key = f"{target}/{verb}/{name}/{occasion}"
    return Effect(key, kind, subject, {"target": target, "label": name}, after, LABEL_PRIORITY)


def upload(
    target: str,
    filename: str,
    path: str,
    *,
    comment: str = "",
    tags: Iterable[str] = (),
    version: str = "0",
    after: str | None = None,
) -> Effect:
    """Upload the file at `path` as `filename` with a log message; `version` tells one content from the next."""
    args = {"target": target, "filename": filename, "path": path, "comment": comment, "tags": list(tags)}
    return Effect(
        f"{target}/upload/{filename}/{version}",
        "gracedb.upload",
        f"{target}/files/{filename}",
        args,
        after,
        UPLOAD_PRIORITY,
    )


def upload_text(
    target: str,
    filename: str,
    text: str,
    *,
    names: Iterable[str] = (),
    comment: str,
    tags: Iterable[str] = (),
    version: str,
    after: str | None = None,
) -> Effect:
    """Upload a short text as `filename` with a log message.

    Local keys in it that `names` lists are replaced by their GraceDB ids, which are not known before.
    """
    args = {"target": target, "filename": filename, "text": text, "names": list(names), "comment": comment}
    args["tags"] = list(tags)
    key = f"{target}/upload/{filename}/{version}"
    return Effect(key, "gracedb.upload", f"{target}/files/{filename}", args, after, UPLOAD_PRIORITY)


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
) -> Effect:
    """Copy the newest version of `source_name` of one GraceDB object to another, as `filename`."""
    args = {
        "source": source,
        "source_name": source_name,
        "target": target,
        "filename": filename,
        "comment": comment,
        "tags": list(tags),
    }
    key = f"{target}/copy/{filename}/{version}"
    return Effect(key, "gracedb.copy", f"{target}/files/{filename}", args, after, UPLOAD_PRIORITY)


def log(target: str, comment: str, *, key: str, tags: Iterable[str] = ()) -> Effect:
    """Write a log message without a file; `key` tells one message from the next."""
    args = {"target": target, "comment": comment, "tags": list(tags)}
    return Effect(f"{target}/log/{key}", "gracedb.log", target, args, None, UPLOAD_PRIORITY)


def job_control(what: str, job: str, attempt: int, now: float) -> Effect:
    """Have the batch system ``release`` or ``cancel`` an attempt of a job, as somebody ordered at `now` (Unix s)."""
    key = f"{job}/{what}/{attempt}/{now:.6f}"
    return Effect(key, f"job.{what}", f"{job}/control", {"job": job, "attempt": attempt}, None, LABEL_PRIORITY)
