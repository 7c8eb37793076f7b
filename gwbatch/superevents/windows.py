"""The time that an event or superevent covers, and whether two overlap."""

from __future__ import annotations

from gwbatch.config.policy import Policy
from gwbatch.superevents.candidate import Event, Superevent


def window_of(event: Event, policy: Policy) -> tuple[float, float]:
    """Return ``(t_start, t_end)`` of an event in GPS s."""
    rule = policy.windows
    half = rule.half_width.get(event.pipeline, rule.half_width.get(event.group, rule.default))
    factor = rule.durations.get(event.pipeline)
    if factor is not None and event.duration is not None:
        half = factor * event.duration
    if event.pipeline in rule.quality_over_frequency and event.quality_over_frequency is not None:
        half = event.quality_over_frequency
    return event.gpstime - half, event.gpstime + half


def overlaps(window: tuple[float, float], superevent: Superevent) -> bool:
    """Return whether the two share a time of positive length; touching is not enough."""
    return window[1] > superevent.t_start and window[0] < superevent.t_end
