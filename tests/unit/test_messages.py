"""Internal messages: classes with lanes, handled with ``@on``, sent now or later."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from gwbatch import effects, igwn_alert, on
from gwbatch.clock import ManualClock
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.errors import BadInput
from gwbatch.handlers import messages as classes
from gwbatch.handlers.context import Context
from gwbatch.handlers.messages import JobEnded, Message, SupereventChanged
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Ledger, timers
from tests.declared import declaring


class Noted(Message, frozen=True):
    """A message for tests."""

    topic = "lane.test_noted"
    lanes = ("superevent", "general")
    event: str
    count: int = 0


@pytest.fixture
def context(ledger: Ledger, policy: Policy, clock: ManualClock) -> Any:
    with ledger.transaction() as tx:
        yield Context(tx, policy, Profile(), clock.now(), message_id=None)


def sent(context: Context) -> list[tuple[str, str]]:
    rows = context.tx.execute(
        "SELECT m.topic, d.lane FROM messages AS m JOIN deliveries AS d ON d.message_id = m.id ORDER BY d.id"
    )
    return [(row["topic"], row["lane"]) for row in rows.fetchall()]


def test_a_message_goes_to_the_lanes_of_its_class(context: Context) -> None:
    context.send(Noted("G1"))
    context.send(SupereventChanged("S@G1"))
    noted = [("lane.test_noted", "superevent"), ("lane.test_noted", "general")]
    assert sent(context) == [*noted, ("lane.superevent_changed", "exttrig")]


def test_a_handler_gets_the_class_in_the_lane_it_chose() -> None:
    with declaring() as registry:

        @on(Noted, queue="general")
        def handle(message: Noted) -> effects.Effect:
            return effects.label(message.event, f"N{message.count}")

        (handler,) = registry.for_topic("lane.test_noted")
    payload = {"event": "G1", "count": 3, "because": 7, "sent": 1.0, "number": 1, "timer": "x", "due": 2.0}
    assert (handler.lane, [effect.key for effect in handler(payload, None)]) == ("general", ["G1/label/N3"])


@pytest.mark.parametrize("payload", [{}, {"event": 1}, {"event": "G1", "count": "many"}])
def test_a_payload_of_another_shape_is_bad_input(payload: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"Cannot read the message lane\.test_noted"):
        Noted.read(payload)


def test_a_lane_that_the_class_does_not_go_to_is_refused() -> None:
    with pytest.raises(ValueError, match="goes to superevent, general, never to the lane 'exttrig'"):
        on(Noted, queue="exttrig")


def test_a_topic_that_a_listener_could_bring_is_refused() -> None:
    with pytest.raises(TypeError, match=r"topic must begin with one of every\., job\., lane\."):

        class Wrong(Message, frozen=True):
            topic = "cbc_gstlal"


def test_topics_are_stored_and_never_change() -> None:
    ours = {
        name: one for name, one in vars(classes).items() if isinstance(one, type) and one.__module__ == classes.__name__
    }
    assert {name: one.topic for name, one in ours.items() if name != "Message"} == {
        "JobEnded": "job.ended",
        "SupereventChanged": "lane.superevent_changed",
        "EventLabelled": "lane.event_labelled",
        "LabelDecided": "lane.label_decided",
        "ExternalFound": "lane.external_found",
        "SecondNotice": "lane.second_notice",
        "RequestDataQuality": "lane.request_data_quality",
        "SignMockOff": "lane.sign_mock_off",
        "SendNotice": "lane.order_send_notice",
        "ReleaseNotice": "lane.order_release_notice",
        "Annotate": "lane.order_annotate",
        "Prefer": "lane.order_prefer",
        "PreferForPipeline": "lane.order_prefer_for_pipeline",
        "CopyMap": "lane.order_copy_map",
        "Announce": "lane.order_announce",
        "UseMap": "lane.order_use_map",
    }
    assert JobEnded("G1/localize", 1, "DONE").source == "job"


def test_a_scheduled_message_comes_once_at_its_time(context: Context) -> None:
    now = context.now
    assert context.schedule(Noted("G1"), now + 270.0, "S1/second")
    assert not context.schedule(Noted("G2"), now + 10.0, "S1/second"), "it is armed already, and stays as it is"
    assert context.schedule(SupereventChanged("S@G1"), now + 300.0, "S1/second"), "another class, another timer"
    assert timers.fire_due(context.tx, now + 269.0) == 0
    assert timers.fire_due(context.tx, now + 280.0) == 1
    assert timers.fire_due(context.tx, now + 290.0) == 0
    assert sent(context) == [("lane.test_noted", "superevent"), ("lane.test_noted", "general")]
    (row,) = context.tx.execute("SELECT payload FROM messages").fetchall()
    assert Noted.read(json.loads(row["payload"])) == Noted("G1")


def test_an_unscheduled_message_does_not_come(context: Context) -> None:
    context.schedule(Noted("G1"), context.now + 1.0, "key")
    assert context.unschedule(Noted, "key")
    assert not context.unschedule(Noted, "key")
    assert timers.fire_due(context.tx, context.now + 2.0) == 0


def test_topics_may_depend_on_policy_and_profile(policy: Policy) -> None:
    with declaring() as registry:
        igwn_alert.handler(lambda policy, profile: policy.topics[:2], "cbc_more", name="mine")(lambda alert: None)
    (handler,) = registry.handlers()
    assert (handler.name, handler.topics) == ("mine", {*policy.topics[:2], "cbc_more"})


def test_registries_of_two_policies_do_not_disturb_each_other(policy: Policy) -> None:
    from gwbatch.orchestrator import load_handlers

    first, second = load_handlers(policy, Profile()), load_handlers(policy, Profile())
    assert first is not second
    assert [one.name for one in first.handlers()] == [one.name for one in second.handlers()]
    assert isinstance(first, Registry)


def test_a_plug_in_that_is_imported_on_a_node_imports_no_ledger() -> None:
    program = "import sys; from gwbatch import every, gcn, igwn_alert, job, on; print('gwbatch.ledger' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
