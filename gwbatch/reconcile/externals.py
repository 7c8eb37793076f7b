"""Comparison of an external event in the ledger with the one in GraceDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gwbatch.external.event import ExternalEvent
from gwbatch.ledger import Ledger
from gwbatch.reconcile.difference import Difference, Remedy
from gwbatch.reconcile.superevents import compare_labels


def compare(ledger: Ledger, ours: ExternalEvent, theirs: Mapping[str, Any] | None) -> Iterator[Difference]:
    """Yield the differences; `theirs` is the event as GraceDB's API shows it, None if GraceDB does not know it."""
    subject = ours.graceid or ours.key
    if theirs is None:
        why = "GraceDB does not know it: somebody deleted it there, or the site profile names another server"
        yield Difference(subject, "external event", "there", "missing", Remedy.LOOK, why)
        return
    topic = f"{theirs.get('group')}_{theirs.get('pipeline')}".lower()
    labels = {str(name) for name in theirs.get("labels") or []}
    yield from compare_labels(ledger, (ours.key, subject), set(ours.labels), labels, subject, topic, theirs)
