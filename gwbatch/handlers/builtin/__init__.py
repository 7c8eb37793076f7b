"""gwbatch's own handlers: they read the mirror, ask the science rules, and return effects."""

from __future__ import annotations

from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.external import ALERT_TOPICS, VOEVENT_TOPICS

SUPEREVENT_TOPICS = ("superevent", "mdc_superevent", "test_superevent")


def notice_topics(profile: Profile) -> tuple[str, ...]:
    """Topics that bring notices of external triggers: GCN Classic's, and those that the site profile lists."""
    listed = [topic for listener in profile.listeners.values() for topic in listener.topics]
    return tuple(dict.fromkeys([*VOEVENT_TOPICS, *listed]))


def register(policy: Policy, profile: Profile) -> None:
    """Register all of them; the search topics come from the policy, those of notices from the site profile."""
    from gwbatch.handlers.builtin import annotate, external, housekeeping, orders, superevents
    from gwbatch.handlers.decorators import every, igwn_alert
    from gwbatch.handlers.registry import (
        EXTERNAL_FOUND,
        JOB_ENDED,
        ORDER_ANNOTATE,
        ORDER_PREFER,
        REGISTRY,
        SUPEREVENT_CHANGED,
    )

    igwn_alert.handler(*policy.topics, queue="superevent")(superevents.handle_event)
    igwn_alert.handler(*SUPEREVENT_TOPICS, queue="superevent")(superevents.handle_superevent)
    igwn_alert.handler(*policy.topics)(annotate.handle_event)
    REGISTRY.add([JOB_ENDED], "general", annotate.handle_job)
    REGISTRY.add(notice_topics(profile), "exttrig", external.handle_notice)
    REGISTRY.add(ALERT_TOPICS, "exttrig", external.handle_alert)
    REGISTRY.add([EXTERNAL_FOUND], "exttrig", external.handle_found)
    REGISTRY.add([SUPEREVENT_CHANGED], "exttrig", external.handle_superevent_changed)
    REGISTRY.add([JOB_ENDED], "exttrig", external.handle_job)
    REGISTRY.add([ORDER_PREFER], "superevent", orders.handle_prefer)
    REGISTRY.add([ORDER_ANNOTATE], "general", orders.handle_annotate)
    every(3600)(housekeeping.prune)
