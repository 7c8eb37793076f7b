"""The superevent manager, which turns alerts into decisions on clustering, preferred events and labels."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from gwbatch.config.policy import Policy
from gwbatch.keys import superevent_key
from gwbatch.model import Action, Decision
from gwbatch.superevents.admission import drop_reason
from gwbatch.superevents.alert import Alert
from gwbatch.superevents.candidate import Event, Superevent, category_of
from gwbatch.superevents.ranking import is_complete, is_less_significant, is_significant, preference
from gwbatch.superevents.windows import overlaps, window_of

EM_READY = "EM_READY"
ADVREQ = "ADVREQ"
EARLY_WARNING = "EARLY_WARNING"
SIGNIF_LOCKED = "SIGNIF_LOCKED"
LOW_SIGNIF_LOCKED = "LOW_SIGNIF_LOCKED"
ADVOCATE_ANSWERS = frozenset({"ADVOK", "ADVNO"})


class View(Protocol):
    """What the manager may know: superevents in order of creation, and events as their newest alerts describe them."""

    def superevent_of(self, graceid: str) -> Superevent | None:
        """Return the superevent that an event belongs to."""
        ...

    def superevent_named(self, superevent_id: str) -> Superevent | None:
        """Return the superevent with that GraceDB id."""
        ...

    def superevents_near(self, category: str, t_0: float, within: float) -> Sequence[Superevent]:
        """Return superevents of a category whose t_0 differs from `t_0` (GPS s) by at most `within` (s)."""
        ...

    def event(self, graceid: str) -> Event | None:
        """Return an event."""
        ...


class Manager:
    """The superevent manager, which is stateless and bases every decision on an alert, a view and the policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def decide(self, alert: Alert, event: Event, view: View) -> list[Decision]:
        """Decide what follows from one alert about `event`.

        Parameters
        ----------
        event : Event
            The alert's ``object``, parsed.
        view : View
            What is known before the alert.

        Returns
        -------
        list of Decision
            In the order in which they take effect; never empty.
        """
        reason = drop_reason(alert, event, self.policy)
        if reason is not None:
            return [Decision(Action.DROP, reason=reason, detail={"event": event.graceid})]
        decisions = list(self._cluster(alert, event, view))
        return decisions or [Decision(Action.NONE, reason="changes nothing", detail={"event": event.graceid})]

    def _cluster(self, alert: Alert, event: Event, view: View) -> Iterator[Decision]:
        window = window_of(event, self.policy)
        known = view.superevent_of(event.graceid)
        named = event.superevent_id if self.policy.clustering != "client" else None
        if named is not None and (known is None or known.superevent_id not in (None, named)):
            yield from self._adopt(named, event, window, view)
        elif known is not None:
            if named is not None and known.superevent_id is None:
                known = yield from self._learn_name(known, named, view)
            if alert.type != "new":
                yield from self._update(known, event, view)
        elif self.policy.clustering == "server":
            yield Decision(
                Action.NONE, None, {"event": event.graceid}, "the server has not put it into a superevent yet"
            )
        else:
            yield from self._join_or_create(event, window, view)

    def _learn_name(self, known: Superevent, named: str, view: View) -> Generator[Decision, None, Superevent]:
        """Learn the server's name for a superevent of ours; if another one already has that name, merge the two."""
        same = view.superevent_named(named)
        if same is None or same.key == known.key:
            yield Decision(Action.UPDATE, known.key, {"superevent_id": named}, f"the server calls it {named}")
            return replace(known, superevent_id=named)
        decision = Decision(Action.UPDATE, same.key, {"merges": known.key}, f"the server calls {known.key} {named} too")
        yield decision
        return merge(known, same)

    def _join_or_create(self, event: Event, window: tuple[float, float], view: View) -> Iterator[Decision]:
        near = view.superevents_near(category_of(event), event.gpstime, self.policy.search_within)
        match = next((superevent for superevent in near if overlaps(window, superevent)), None)
        if match is not None:
            yield from self._add(match, event, window, view, "its window overlaps the superevent's")
        else:
            yield from self._create(
                superevent_key(event.graceid), None, event, window, "no superevent overlaps its window"
            )

    def _adopt(self, named: str, event: Event, window: tuple[float, float], view: View) -> Iterator[Decision]:
        reason = f"the server put it into {named}"
        superevent = view.superevent_named(named)
        if superevent is None:
            yield from self._create(named, named, event, window, reason)
        else:
            yield from self._add(superevent, event, window, view, reason, adopted=True)

    def _create(
        self, key: str, superevent_id: str | None, event: Event, window: tuple[float, float], reason: str
    ) -> Iterator[Decision]:
        created = Superevent(
            key,
            category_of(event),
            window[0],
            event.gpstime,
            window[1],
            event.graceid,
            (event.graceid,),
            (),
            superevent_id,
        )
        yield Decision(
            Action.CREATE,
            key,
            {
                "event": event.graceid,
                "category": created.category,
                "t_start": created.t_start,
                "t_0": created.t_0,
                "t_end": created.t_end,
                "superevent_id": superevent_id,
            },
            reason,
        )
        yield from self._labels(created, event)

    def _add(
        self,
        superevent: Superevent,
        event: Event,
        window: tuple[float, float],
        view: View,
        reason: str,
        *,
        adopted: bool = False,
    ) -> Iterator[Decision]:
        yield Decision(Action.ADD_EVENT, superevent.key, {"event": event.graceid, "adopted": adopted}, reason)
        yield from self._update(superevent, event, view, window)

    def _update(
        self, superevent: Superevent, event: Event, view: View, window: tuple[float, float] | None = None
    ) -> Iterator[Decision]:
        """Update window, preferred event and labels; the window grows only when the event joins."""
        changes: dict[str, Any] = {}
        reasons = []
        if window is not None and window[0] < superevent.t_start:
            changes["t_start"] = window[0]
        if window is not None and window[1] > superevent.t_end:
            changes["t_end"] = window[1]
        if changes:
            reasons.append("the window becomes the union")
        if self._replaces_preferred(superevent, event, view):
            changes |= {"preferred": event.graceid, "t_0": event.gpstime}
            reasons.append(f"{event.graceid} ranks above {superevent.preferred}")
        if changes:
            yield Decision(Action.UPDATE, superevent.key, changes, "; ".join(reasons))
        yield from self._labels(superevent, event)

    def _replaces_preferred(self, superevent: Superevent, event: Event, view: View) -> bool:
        if LOW_SIGNIF_LOCKED in superevent.labels or event.graceid == superevent.preferred:
            return False
        preferred = view.event(superevent.preferred)
        # An unknown preferred event, which only the server knows, cannot be ranked, so it stays.
        return preferred is not None and preference(event, self.policy) > preference(preferred, self.policy)

    def _labels(self, superevent: Superevent, event: Event) -> Iterator[Decision]:
        complete = is_complete(event, self.policy)
        wanted: list[tuple[str, str]] = []
        if complete:
            wanted.append((EM_READY, f"{event.graceid} is complete"))
        if is_significant(event, self.policy):
            if not ADVOCATE_ANSWERS & set(superevent.labels):
                wanted.append((ADVREQ, f"{event.graceid} is significant"))
            if complete:
                lock = EARLY_WARNING if EARLY_WARNING in event.labels else SIGNIF_LOCKED
                wanted.append((lock, f"{event.graceid} is complete and significant"))
        if complete and is_less_significant(event, self.policy):
            wanted.append((LOW_SIGNIF_LOCKED, f"{event.graceid} is complete and publishable"))
        for name, reason in wanted:
            if name not in superevent.labels:
                yield Decision(Action.LABEL, superevent.key, {"label": name}, reason)

    def reselect(self, superevent: Superevent, view: View) -> list[Decision]:
        """Choose the preferred event again among all members, because a lock was set."""
        members = [event for event in map(view.event, superevent.events) if event is not None]
        if not members:
            return []
        best = max(members, key=lambda event: preference(event, self.policy))
        current = view.event(superevent.preferred)
        if current is None or preference(best, self.policy) <= preference(current, self.policy):
            return []
        detail = {"preferred": best.graceid, "t_0": best.gpstime}
        return [
            Decision(
                Action.UPDATE,
                superevent.key,
                detail,
                f"re-selected: {best.graceid} ranks above {superevent.preferred}",
            )
        ]


def merge(gone: Superevent, kept: Superevent) -> Superevent:
    """Merge two descriptions of one superevent; the kept one's preferred event and t_0 stay."""
    return replace(
        kept,
        t_start=min(gone.t_start, kept.t_start),
        t_end=max(gone.t_end, kept.t_end),
        events=tuple(dict.fromkeys([*kept.events, *gone.events])),
        labels=tuple(dict.fromkeys([*kept.labels, *gone.labels])),
        superevent_id=kept.superevent_id or gone.superevent_id,
    )


def apply(superevent: Superevent | None, decision: Decision) -> Superevent | None:
    """Return the superevent after a decision."""
    detail = decision.detail
    if decision.action == Action.CREATE:
        return Superevent(
            str(decision.superevent),
            detail["category"],
            detail["t_start"],
            detail["t_0"],
            detail["t_end"],
            detail["event"],
            (detail["event"],),
            (),
            detail.get("superevent_id"),
        )
    if superevent is None:
        return None
    if decision.action == Action.ADD_EVENT:
        return replace(superevent, events=(*superevent.events, detail["event"]))
    if decision.action == Action.LABEL:
        return replace(superevent, labels=(*superevent.labels, detail["label"]))
    if decision.action == Action.UPDATE:
        return replace(superevent, **detail)
    return superevent
