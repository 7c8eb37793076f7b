"""Periodic mock data, in which a mock event goes all the way from upload to signoff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gwbatch.alerts.kinds import ADVNO, ADVOK
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.effects import Effect
from gwbatch.effects.mdc import SignOff, UploadMock, UploadMockBurst
from gwbatch.handlers.context import Context
from gwbatch.handlers.decorators import every, igwn_alert, on
from gwbatch.handlers.messages import SignMockOff
from gwbatch.ledger import settings
from gwbatch.orchestrator import superevents  # noqa: F401  its handlers see an alert before ours
from gwbatch.reports.mdc import SIGNOFF_AFTER
from gwbatch.superevents.alert import Alert
from gwbatch.superevents.manager import ADVREQ

UPLOADED = "mdc_uploaded"
TOPIC = "mdc_superevent"


def mock_interval(policy: Policy, profile: Profile) -> float:
    """Return the interval between mock events in s; 0 means never."""
    return profile.alerts.mdc_every if profile.alerts.mode != "off" and not profile.alerts.dry_run else 0.0


def mock_topics(policy: Policy, profile: Profile) -> tuple[str, ...]:
    """Return the topic of mock superevents if we make any."""
    return (TOPIC,) if mock_interval(policy, profile) else ()


@every(mock_interval, name="gwbatch.mdc.upload")
def upload(_tick: dict[str, Any], context: Context) -> Iterator[Effect]:
    """Upload the next mock event, with an accompanying burst for every other one."""
    number = 1 + settings.get(context.tx, UPLOADED, 0)
    settings.put(context.tx, UPLOADED, number, context.now)
    yield UploadMock(number, context.now)
    if number % 2 == 0:
        yield UploadMockBurst(number, context.now)


@igwn_alert.handler(mock_topics, queue="superevent", name="gwbatch.mdc.handle_superevent")
def handle_superevent(payload: dict[str, Any], context: Context) -> None:
    """Set the timer for the signoff of a mock superevent once the signoff is requested."""
    alert = Alert.parse(payload)
    asked = alert.type == "label_added" and alert.label == ADVREQ
    name = alert.superevent_id if asked else None
    superevent = None if name is None else context.mirror.superevent_named(name)
    if superevent is not None and superevent.category == "mdc" and not context.other_server(alert):
        context.schedule(SignMockOff(superevent.key), context.now + SIGNOFF_AFTER, superevent.key)


@on(SignMockOff, name="gwbatch.mdc.handle_signoff")
def handle_signoff(message: SignMockOff, context: Context) -> Iterator[Effect]:
    """Sign a mock superevent off; every other one gets ADVNO, which retracts it."""
    superevent = context.mirror.superevent(message.superevent)
    if superevent is None or superevent.category != "mdc" or {ADVOK, ADVNO} & set(superevent.labels):
        return
    number = context.mirror.count("mdc", superevent.t_0)
    yield SignOff(superevent.key, "OK" if number % 2 else "NO")
