"""gwbatch's own handlers, which read the mirror, apply the science rules and return effects."""

from __future__ import annotations

from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.handlers.registry import Registry
from gwbatch.orchestrator.topics import SUPEREVENT_TOPICS, notice_topics
from gwbatch.plugins import import_plugins

__all__ = ["SUPEREVENT_TOPICS", "load_handlers", "notice_topics"]


def load_handlers(policy: Policy, profile: Profile) -> Registry:
    """Resolve the built-in handlers and those of the plug-ins in the profile and in the entry-point group."""
    from gwbatch.orchestrator import (  # noqa: F401  importing them declares their handlers
        alerts,
        commands,
        external,
        external_orders,
        housekeeping,
        mdc,
        superevent_products,
        superevents,
    )

    import_plugins(profile.plugins, profile.plugin_folders)
    return Registry.build(policy, profile)
