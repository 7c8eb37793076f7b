"""gwbatch's own handlers: they read the mirror, ask the science rules, and return effects."""

from __future__ import annotations

from gwbatch.config.policy import Policy

SUPEREVENT_TOPICS = ("superevent", "mdc_superevent", "test_superevent")


def register(policy: Policy) -> None:
    """Register all of them; the search topics come from the policy."""
    from gwbatch.handlers.builtin import annotate, housekeeping, superevents
    from gwbatch.handlers.decorators import every, igwn_alert
    from gwbatch.handlers.registry import JOB_ENDED, REGISTRY

    igwn_alert.handler(*policy.topics, queue="superevent")(superevents.handle_event)
    igwn_alert.handler(*SUPEREVENT_TOPICS, queue="superevent")(superevents.handle_superevent)
    igwn_alert.handler(*policy.topics)(annotate.handle_event)
    REGISTRY.add([JOB_ENDED], "general", annotate.handle_job)
    every(3600)(housekeeping.prune)
