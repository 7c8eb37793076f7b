"""Replays through the lanes themselves, with the same output as in earlier versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gwbatch import igwn_alert
from gwbatch.config.policy import Policy
from gwbatch.config.profile import ListenerSettings, Profile
from gwbatch.dispatcher.replay import replay
from gwbatch.effects import Effect, label
from gwbatch.handlers.context import Context
from gwbatch.handlers.declarations import DECLARED
from gwbatch.model import Decision
from tests import alerts
from tests.notices import guano

DATA = Path(__file__).parents[1] / "data"


def line(topic: str, payload: Any) -> bytes:
    return json.dumps({"topic": topic, "payload": payload}).encode()


def said(lines: list[bytes], policy: Policy, site: Profile | None = None) -> list[dict[str, Any]]:
    return [json.loads(one) for one in replay(lines, policy, site)]


@pytest.fixture
def declared() -> Iterator[None]:
    """Forget what a test declares."""
    before = list(DECLARED)
    yield
    DECLARED[:] = before


def test_a_recorded_stream_is_decided_byte_for_byte_as_before_the_lanes_did_it(policy: Policy) -> None:
    """The decisions were written by the replay of version 0.1, which had its own routing and deduplication."""
    with (DATA / "replay.jsonl").open("rb") as stream:
        found = "".join(f"{one}\n" for one in replay(stream, policy))
    assert found == (DATA / "replay-decisions.jsonl").read_text()


@pytest.mark.usefixtures("declared")
def test_a_plug_in_has_its_say_as_it_would_live(policy: Policy) -> None:
    @igwn_alert.handler("cbc_gstlal", queue="superevent")
    def plug_in(alert: dict[str, Any], context: Context) -> Effect:
        assert not context.live
        context.record(Decision("none", reason=f"looked at {alert['object']['graceid']}"))
        return label("G1", "EM_READY")  # goes into a scratch ledger, where nothing executes it

    *decided, _ = said([line("cbc_gstlal", alerts.new(alerts.event("G1")))], policy)
    assert "looked at G1" in [one["reason"] for one in decided]
    assert decided[0]["action"] == "create"


@pytest.mark.usefixtures("declared")
def test_a_plug_in_that_fails_makes_a_dead_letter_and_ends_nothing(policy: Policy) -> None:
    @igwn_alert.handler("cbc_gstlal", queue="superevent")
    def plug_in(alert: dict[str, Any], context: Context) -> None:
        if alert["object"]["graceid"] == "G1":
            raise KeyError("no such thing")

    events = [alerts.event("G1"), alerts.event("G2", 2e9)]
    *decided, final = said([line("cbc_gstlal", alerts.new(event)) for event in events], policy)
    assert decided[0] == {
        "superevent": None, "action": "drop", "reason": "dead letter: KeyError: 'no such thing'",
    }  # fmt: skip
    assert [one["preferred"] for one in final["final"]] == ["G1", "G2"], "gwbatch's own handler is not held up"


def test_a_bad_alert_is_a_dead_letter_each_time_it_comes(policy: Policy) -> None:
    """As in live operation, only a message that was handled makes a later copy a duplicate."""
    bad = line("cbc_gstlal", alerts.new(alerts.event("G1", gpstime="never")))
    first, second, _ = said([bad, bad], policy)
    assert first == second
    assert first["reason"] == "dead letter: Event G1 has gpstime = never: not a finite number."


def test_notices_come_on_the_topics_that_the_site_listens_to(policy: Policy) -> None:
    topic = "site.guano"
    notice = line(topic, guano())
    assert "not one that superevents are made from" in said([notice], policy)[0]["reason"]
    site = Profile(listeners={"gcn": ListenerSettings(kind="spool", topics=(topic,))})
    assert said([notice], policy, site)[0]["action"] == "external_create"
