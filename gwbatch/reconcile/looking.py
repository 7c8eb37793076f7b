"""Object-by-object comparison of the ledger with GraceDB."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gwbatch.errors import ConfigError
from gwbatch.executors.notices.recalling import stored_in_gracedb
from gwbatch.external.event import ExternalEvent
from gwbatch.gracedb import NOT_FOUND, GraceDB, GraceDBError, translate_errors
from gwbatch.ledger import Ledger
from gwbatch.mirror.externals import ExternalStore
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.reconcile import externals, notices, superevents
from gwbatch.reconcile.difference import Difference
from gwbatch.superevents import Superevent

LIMIT = 500  # superevents, and external events, per comparison, newest first


@dataclass(frozen=True)
class Scope:
    """The objects to compare: those created since a Unix time (s) and, if `names` are given, only those."""

    since: float = 0.0
    names: Collection[str] = ()
    with_notices: bool = True


def differences(
    ledger: Ledger, server: GraceDB, scope: Scope, watch: Callable[[int, int], None] = lambda done, of: None
) -> list[Difference]:
    """Return all differences, calling `watch` with the number of objects compared so far and their total.

    Raises
    ------
    ConfigError
        If the ledger does not know a name.
    GraceDBUnreachable
        If GraceDB does not answer.
    """
    objects: list[Superevent | ExternalEvent] = [*_superevents(ledger, scope), *_externals(ledger, scope)]
    _require_names(objects, scope)
    found: list[Difference] = []
    for number, one in enumerate(objects):
        watch(number, len(objects))
        found += _compare(ledger, server, one, with_notices=scope.with_notices)
    watch(len(objects), len(objects))
    return found


def lasting(ledger: Ledger, server: GraceDB, scope: Scope, wait: float, **options: Any) -> list[Difference]:
    """Return the differences that persist for `wait` seconds; the others were writes in progress."""
    first = differences(ledger, server, scope, **options)
    if not first:
        return []
    time.sleep(wait)
    names = {one.name for one in first}
    subjects = Scope(names={one.subject for one in first}, with_notices=scope.with_notices)
    return [one for one in differences(ledger, server, subjects) if one.name in names]


def _superevents(ledger: Ledger, scope: Scope) -> Iterator[Superevent]:
    mirror = SupereventStore(ledger.connection)
    for key in _wanted(mirror.created_since(scope.since), scope):
        if (one := mirror.superevent(key)) is not None:
            yield one


def _externals(ledger: Ledger, scope: Scope) -> Iterator[ExternalEvent]:
    known = ExternalStore(ledger.connection)
    for key in _wanted(known.created_since(scope.since), scope):
        if (one := known.get(key)) is not None:
            yield one


def _wanted(known: Iterable[tuple[str, str | None]], scope: Scope) -> list[str]:
    return [key for key, graceid in known if not scope.names or {key, graceid} & set(scope.names)][:LIMIT]


def _require_names(objects: Collection[Superevent | ExternalEvent], scope: Scope) -> None:
    known = {name for one in objects for name in (one.key, _graceid(one))}
    for name in scope.names:
        if name not in known:
            raise ConfigError(
                f"Cannot compare {name}: the ledger knows no such superevent or external event. See 'gwbatch "
                "superevent list' and 'gwbatch external list'."
            )


def _graceid(one: Superevent | ExternalEvent) -> str | None:
    return one.superevent_id if isinstance(one, Superevent) else one.graceid


def _compare(
    ledger: Ledger, server: GraceDB, one: Superevent | ExternalEvent, *, with_notices: bool
) -> Iterator[Difference]:
    if isinstance(one, ExternalEvent):
        yield from externals.compare(ledger, one, _ask(server, "event", one.graceid))
        return
    theirs = _ask(server, "superevent", one.superevent_id)
    yield from superevents.compare(ledger, one, theirs)
    if theirs is not None and with_notices and one.superevent_id is not None:
        created = [stored.created for stored in stored_in_gracedb(one.superevent_id, server)]
        yield from notices.compare(ledger, one, created)


def _ask(server: GraceDB, what: str, name: str | None) -> dict[str, Any] | None:
    if name is None:
        return None
    try:
        with translate_errors(f"read {what} {name}"):
            return dict(getattr(server.client, what)(name).json())
    except GraceDBError as error:
        if error.status == NOT_FOUND:
            return None
        raise
