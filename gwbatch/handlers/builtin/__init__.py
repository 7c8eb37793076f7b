"""gwbatch's own handlers: they read the mirror, ask the science rules, and return effects."""

from __future__ import annotations

from gwbatch.config.policy import Policy
from gwbatch.external import JSON_TOPICS, VOEVENT_TYPES
from gwbatch.handlers.notice_types import NoticeType

OBSERVATORIES = ("fermi", "swift", "svom", "snews", "icecube", "chime", "einsteinprobe")
EXTERNAL_TOPICS = tuple(f"{group}_{name}" for group in ("external", "test") for name in OBSERVATORIES)
NOTICE_TOPICS = (
    *(f"gcn.classic.voevent.{NoticeType(number).name}" for number in VOEVENT_TYPES),
    *JSON_TOPICS,
)
SUPEREVENT_TOPICS = ("superevent", "mdc_superevent", "test_superevent")


def register(policy: Policy) -> None:
    """Register all of them; the search topics come from the policy."""
    from gwbatch.handlers.builtin import annotate, external, housekeeping, orders, superevents
    from gwbatch.handlers.decorators import every, igwn_alert
    from gwbatch.handlers.registry import JOB_ENDED, ORDER_ANNOTATE, ORDER_PREFER, REGISTRY, SUPEREVENT_CHANGED

    igwn_alert.handler(*policy.topics, queue="superevent")(superevents.handle_event)
    igwn_alert.handler(*SUPEREVENT_TOPICS, queue="superevent")(superevents.handle_superevent)
    igwn_alert.handler(*policy.topics)(annotate.handle_event)
    REGISTRY.add([JOB_ENDED], "general", annotate.handle_job)
    REGISTRY.add(NOTICE_TOPICS, "exttrig", external.handle_notice)
    REGISTRY.add(EXTERNAL_TOPICS, "exttrig", external.handle_alert)
    REGISTRY.add([SUPEREVENT_CHANGED], "exttrig", external.handle_superevent_changed)
    REGISTRY.add([JOB_ENDED], "exttrig", external.handle_job)
    REGISTRY.add([ORDER_PREFER], "superevent", orders.handle_prefer)
    REGISTRY.add([ORDER_ANNOTATE], "general", orders.handle_annotate)
    every(3600)(housekeeping.prune)
