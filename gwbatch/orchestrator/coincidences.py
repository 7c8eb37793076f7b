"""Reevaluation of external events: what they coincide with, what GraceDB shows of them, what is announced."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gwbatch import effects
from gwbatch.annotation import Scope, products_of
from gwbatch.annotation.graph import COMBINED_MAP, FAR_FILE
from gwbatch.config.policy import Policy
from gwbatch.effects import Effect
from gwbatch.effects.kinds import AddEvent, PreferExternal, RemoveEvent, Upload
from gwbatch.external import GWCandidate, Match, best_match, coincide, preferred_external, raven_alert
from gwbatch.external.coincidence import EM_COINC, HIGH_PROFILE, RAVEN_ALERT
from gwbatch.external.event import ExternalEvent
from gwbatch.handlers.context import Context
from gwbatch.keys import creation_of, is_external, pair_key
from gwbatch.mirror.externals import Coincidence
from gwbatch.mirror.products import StoredProduct
from gwbatch.model import Action, Decision
from gwbatch.orchestrator import jobs
from gwbatch.orchestrator.external_labels import occasion, relabel, set_label
from gwbatch.orchestrator.external_skymaps import plan_combined, plan_pictures, wanted_version
from gwbatch.orchestrator.superevent_products import next_version
from gwbatch.superevents import Event, Superevent
from gwbatch.superevents.candidate import finite

TAGS = ("ext_coinc",)


def reevaluate_all_near(key: str, context: Context) -> Iterator[Effect]:
    """Reevaluate every external event near a superevent, or already coincident with it."""
    superevent = context.mirror.superevent(key)
    if superevent is None:
        return
    near = {event.key for event in context.externals.near(superevent.t_0, context.policy.external.reach)}
    known = {one.match.external for one in context.externals.coincidences(superevent=superevent.key)}
    for external in sorted(near | known):
        yield from reevaluate(external, context)


def reevaluate(key: str, context: Context) -> Iterator[Effect]:
    """Recompute everything about one external event from what is known now, and yield the resulting effects."""
    event = context.externals.get(key)
    if event is None:
        return
    before = context.externals.coincidences(external=key)
    candidates = list(_candidates(event, context))
    for superevent, _ in candidates:
        yield from plan_combined(key, superevent, context)
    after = _choose([match for _, match in candidates], before)
    context.externals.put_coincidences(key, after)
    old, new = _chosen(before), _chosen(after)
    yield from _update_external(event, old, new, context)
    for superevent_key in dict.fromkeys(one.match.superevent for one in (old, new) if one is not None):
        yield from _update_superevent(superevent_key, context)
    if new is not None and not new.announced:
        yield from _announce(new.match, context)


def _candidates(event: ExternalEvent, context: Context) -> Iterator[tuple[Superevent, Match]]:
    """Yield every superevent in the window, with the coincidence that it would form."""
    settings = context.policy.external
    for superevent in context.mirror.superevents_near(event.category, event.time, settings.reach):
        partner = partner_of(superevent, context)
        combined = context.mirror.product(pair_key(event.key, superevent.key), COMBINED_MAP)
        overlap = None if combined is None else combined.facts["overlap_integral"]
        match = None if partner is None else coincide(partner, event, overlap, context.policy)
        if match is not None:
            yield superevent, match


def partner_of(superevent: Superevent, context: Context) -> GWCandidate | None:
    """Return a superevent as a candidate for coincidences; None while its preferred event or the FAR is unknown."""
    preferred = context.mirror.event(superevent.preferred)
    if preferred is None or preferred.far is None:
        return None
    burst = _is_burst(preferred, context.policy)
    return GWCandidate(superevent.key, superevent.t_0, preferred.far, preferred.kind, burst, superevent.category)


def _is_burst(event: Event, policy: Policy) -> bool:
    """Return whether the windows for bursts apply to an event; for a test event its pipeline decides."""
    if event.kind in policy.external.cbc_like:
        return False
    return event.group == "burst" or (event.group == "test" and f"burst_{event.pipeline}" in policy.topics)


def _choose(matches: list[Match], before: list[Coincidence]) -> list[Coincidence]:
    """Choose the coincidence that is least likely by chance; an announced one stays chosen."""
    announced = next((one for one in before if one.announced), None)
    if announced is not None and announced.match.superevent not in [match.superevent for match in matches]:
        matches = [*matches, announced.match]
    best = best_match(matches)
    chosen = announced.match.superevent if announced is not None else best.superevent if best is not None else None
    return [
        Coincidence(match, match.superevent == chosen, announced is not None and match.superevent == chosen)
        for match in matches
    ]


def _chosen(found: list[Coincidence]) -> Coincidence | None:
    return next((one for one in found if one.chosen), None)


# ---- the external event -----------------------------------------------------------------------------------


def _update_external(
    event: ExternalEvent, old: Coincidence | None, new: Coincidence | None, context: Context
) -> Iterator[Effect]:
    """Update the external event's membership, label and files from its old coincidence to the new one."""
    if old is not None and (new is None or new.match.superevent != old.match.superevent):
        context.record(
            _decision(Action.COINCIDENCE_END, old.match, "another is less likely by chance" if new else "outside")
        )
        yield _membership(old.match, context, join=False)
        yield relabel(event.key, EM_COINC, context, on=False)
        old = None
    if new is None:
        return
    match = new.match
    if old is None or old.match != match:
        context.record(_decision(Action.COINCIDENCE, match, _describe(match)))
    if old is None:
        yield _membership(match, context, join=True)
    text = _far_text(event, match, context)
    upload = _show_text(event.key, text, match.superevent, context)
    if upload is not None:
        yield upload
    if old is None:
        yield relabel(event.key, EM_COINC, context, on=True, after=upload.key if upload else None)
    yield from plan_pictures(event.key, match.superevent, context)
    yield from _show_products(event.key, pair_key(event.key, match.superevent), context)


def _membership(match: Match, context: Context, *, join: bool) -> Effect:
    change = AddEvent if join else RemoveEvent
    return change(match.superevent, match.external, occasion(context), after=creation_of(match.external))


# ---- the superevent ---------------------------------------------------------------------------------------


def _update_superevent(key: str, context: Context) -> Iterator[Effect]:
    """Show on a superevent the coincidence with its preferred external event."""
    superevent = context.mirror.superevent(key)
    if superevent is None:
        return
    matches = [one.match for one in context.externals.coincidences(superevent=superevent.key) if one.chosen]
    events = {match.external: event for match in matches if (event := context.externals.get(match.external))}
    preferred = preferred_external([(events[match.external], match) for match in matches], context.policy.external)
    shown = context.mirror.product(superevent.key, FAR_FILE)
    has_label = shown is not None and shown.facts.get("external") is not None
    if preferred is None:
        if shown is not None and has_label:
            context.mirror.put_product(replace(shown, facts={"external": None}), context.now)
            yield from _label_superevent(superevent, EM_COINC, context, on=False)
        return
    match = next(match for match in matches if match.external == preferred.key)
    upload = _show_text(superevent.key, _far_text(events[preferred.key], match, context), preferred.key, context)
    if upload is not None:
        yield upload
        yield PreferExternal(superevent.key, preferred.key, upload.version, after=creation_of(preferred.key))
    if not has_label:
        yield from _label_superevent(superevent, EM_COINC, context, on=True, after=upload.key if upload else None)
    yield from _show_products(superevent.key, pair_key(preferred.key, superevent.key), context)


def _label_superevent(
    superevent: Superevent, name: str, context: Context, *, on: bool, after: str | None = None
) -> Iterator[Effect]:
    labels = [label for label in superevent.labels if label != name]
    context.mirror.put_superevent(replace(superevent, labels=(*labels, *([name] if on else []))), context.now)
    yield set_label(superevent.key, name, context, on=on, after=after or creation_of(superevent.key))


# ---- files ------------------------------------------------------------------------------------------------


def _show_text(target: str, text: str, partner: str, context: Context) -> Upload | None:
    """Upload the joint false alarm rates to one object of a pair, if they are new there."""
    known = context.mirror.product(target, FAR_FILE)
    version = next_version(hashlib.sha256(text.encode()).hexdigest()[:12], known)
    facts = {"superevent" if is_external(target) else "external": partner}
    if version is None:
        if known is not None and known.facts != facts:
            context.mirror.put_product(replace(known, facts=facts), context.now)
        return None
    context.mirror.put_product(StoredProduct(target, FAR_FILE, version, None, facts), context.now)
    comment = "Coincidence of gravitational wave and external trigger: joint false alarm rates"
    names = (partner if is_external(partner) else target,)
    return Upload(
        target, FAR_FILE, text=text, names=names, comment=comment, tags=TAGS, version=version,
        after=creation_of(target),
    )  # fmt: skip


def _show_products(target: str, source: str, context: Context) -> Iterator[Effect]:
    """Upload the combined map and the pictures of a pair to one of its objects, where they are new."""
    of_pair, of_target = context.mirror.products(source), context.mirror.products(target)
    for product in products_of(Scope.PAIR):
        made = of_pair.get(product.name)
        if made is None or made.path is None or made.facts.get("disjoint"):
            continue
        content = f"{hashlib.sha256(source.encode()).hexdigest()[:6]}.{made.version}"
        version = next_version(content, of_target.get(product.name))
        if version is None:
            continue
        context.mirror.put_product(StoredProduct(target, product.name, version, made.path, made.facts), context.now)
        upload = effects.upload(
            target,
            product.name,
            made.path,
            comment=jobs.comment(product, made.facts),
            tags=product.tags,
            version=version,
            after=creation_of(target),
        )
        yield upload
        if product.label is not None:
            yield effects.label(target, product.label, after=upload.key)


def _far_text(event: ExternalEvent, match: Match, context: Context) -> str:
    """Return the content of ``coincidence_far.json``, with the keys of `ligo-raven` and some more."""
    superevent = context.mirror.superevent(match.superevent)
    return json.dumps(
        {
            "preferred_event": superevent.preferred if superevent is not None else None,
            "external_event": event.key,
            "external_observatory": event.observatory,
            "external_trigger_id": event.trigger_id,
            "external_search": event.search,
            "time_difference": match.dt,
            "time_coinc_window": list(match.window),
            "temporal_coinc_far": match.far_time,
            "spatiotemporal_coinc_far": finite(match.far_spacetime),
            "skymap_overlap": match.overlap,
        },
        indent=1,
    )


# ---- decisions --------------------------------------------------------------------------------------------


def _announce(match: Match, context: Context) -> Iterator[Effect]:
    """Announce a coincidence if the policy allows it; its label on the preferred event has that event judged again."""
    event, superevent = context.externals.get(match.external), context.mirror.superevent(match.superevent)
    partner = None if superevent is None else partner_of(superevent, context)
    if event is None or superevent is None or partner is None or RAVEN_ALERT in superevent.labels:
        return
    reason = raven_alert(_with_fresh_overlap(match, superevent, context), partner, event, context.policy)
    if reason is not None:
        return
    yield from announce(match, f"{_describe(match)}: may be announced", context)


def announce(match: Match, why: str, context: Context) -> Iterator[Effect]:
    """Announce a coincidence: set RAVEN_ALERT on the superevent, the external event and, last, the preferred event."""
    event, superevent = context.externals.get(match.external), context.mirror.superevent(match.superevent)
    assert event is not None
    assert superevent is not None
    found = context.externals.coincidences(external=event.key)
    context.externals.put_coincidences(event.key, [replace(one, announced=one.chosen) for one in found])
    detail = {"external": event.key, "event": superevent.preferred}
    context.record(Decision(Action.RAVEN_ALERT, superevent.key, detail, why))
    (first,) = _label_superevent(superevent, RAVEN_ALERT, context, on=True)
    labelled = context.mirror.superevent(superevent.key)
    second = relabel(event.key, RAVEN_ALERT, context, on=True, after=first.key)
    yield first
    if labelled is not None and HIGH_PROFILE not in labelled.labels:
        yield from _label_superevent(labelled, HIGH_PROFILE, context, on=True, after=first.key)
    yield second
    yield effects.label(superevent.preferred, RAVEN_ALERT, after=second.key)


def _with_fresh_overlap(match: Match, superevent: Superevent, context: Context) -> Match:
    """Return a match without its overlap if better maps are about to replace it, so that no announcement uses it."""
    wanted = wanted_version(match.external, superevent, context)
    combined = context.mirror.product(pair_key(match.external, match.superevent), COMBINED_MAP)
    fresh = wanted is not None and combined is not None and combined.version == wanted[0]
    return match if fresh else replace(match, overlap=None, far_spacetime=None)


def _decision(action: Action, match: Match, reason: str) -> Decision:
    detail: dict[str, Any] = {"external": match.external, "dt": match.dt, "far_time": match.far_time}
    detail |= {"overlap": match.overlap, "far_spacetime": finite(match.far_spacetime)}
    return Decision(action, match.superevent, detail, reason)


def _describe(match: Match) -> str:
    low, high = match.window
    return f"{match.dt:+.2f} s lies in the window from {low:+g} to {high:+g} s"
