"""Topics of gwbatch's own handlers that depend on the policy or the site profile."""

from __future__ import annotations

from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.external import alert_topics, own_topics, voevent_topics

SUPEREVENT_TOPICS = ("superevent", "mdc_superevent", "test_superevent")


def search_topics(policy: Policy, profile: Profile) -> tuple[str, ...]:
    """Return the topics of the searches that superevents are made from."""
    return tuple(policy.topics)


def notice_topics(policy: Policy, profile: Profile) -> tuple[str, ...]:
    """Return the topics that bring notices of external triggers: GCN Classic's, missions' own, and the profile's."""
    listed = [topic for listener in profile.listeners.values() for topic in listener.topics]
    return tuple(dict.fromkeys([*voevent_topics(), *own_topics(), *listed]))


def external_topics(policy: Policy, profile: Profile) -> tuple[str, ...]:
    """Return the topics of GraceDB's alerts about external events."""
    return alert_topics()
