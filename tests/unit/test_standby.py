"""The number of pilots, which of them leave, and what the ledger records about them."""

from __future__ import annotations

import calendar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwbatch.config.profile import load_site
from gwbatch.config.standby import Facts, StandbyPolicy, StandbySettings, wanted
from gwbatch.dispatcher.standby import balance
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger, standby
from gwbatch.ledger.standby import PilotJob
from gwbatch.model import JobState, JobStatus

NOON = float(calendar.timegm((2026, 11, 26, 12, 0, 0)))


@pytest.mark.parametrize(
    ("policy", "facts", "count", "why"),
    [
        (StandbyPolicy(), Facts(NOON), 0, "no rule"),
        (StandbyPolicy(pilots=2), Facts(NOON), 2, "always"),
        (StandbyPolicy(pilots=1, observing=3), Facts(NOON, observing=2), 3, "2 detectors observe"),
        (StandbyPolicy(pilots=1, observing=3), Facts(NOON, observing=1), 1, "always"),
        (StandbyPolicy(after_alert=1), Facts(NOON, last_planned=NOON - 100), 1, "100 s ago"),
        (StandbyPolicy(after_alert=1), Facts(NOON, last_planned=NOON - 1800), 0, "no rule"),
        (StandbyPolicy(backlog=2), Facts(NOON, waiting=5), 2, "5 jobs wait"),
        (StandbyPolicy(pilots=3), Facts(NOON, stuck=2), 1, "2 jobs have waited long"),
        (StandbyPolicy(pilots=1), Facts(NOON, ordered=1, stuck=2), 0, "2 jobs have waited long"),
        (StandbyPolicy(), Facts(NOON, stuck=2), 0, "no rule"),
        (StandbyPolicy(hours={"11:30-12:30": 2}), Facts(NOON), 2, "11:30-12:30"),
        (StandbyPolicy(hours={"22:00-06:00": 2}), Facts(NOON), 0, "no rule"),
        (StandbyPolicy(hours={"22:00-06:00": 2}), Facts(NOON + 11 * 3600), 2, "22:00-06:00"),
        (StandbyPolicy(hours={"22:00-06:00": 2}), Facts(NOON + 15 * 3600), 2, "22:00-06:00"),
        (StandbyPolicy(pilots=9), Facts(NOON), 4, "always"),
        (StandbyPolicy(pilots=2), Facts(NOON, ordered=0), 0, "by an operator"),
        (StandbyPolicy(at_most=3), Facts(NOON, ordered=7), 3, "by an operator"),
        (StandbyPolicy(pilots=2, node_hours_per_day=5), Facts(NOON, node_hours=5.0), 0, "5.0 node-hours"),
        (StandbyPolicy(pilots=2, node_hours_per_day=5), Facts(NOON, ordered=2, node_hours=6.0), 0, "6.0 node-hours"),
    ],
)
def test_the_largest_rule_counts_and_limits_hold(policy: StandbyPolicy, facts: Facts, count: int, why: str) -> None:
    found = wanted(policy, facts)
    assert found[0] == count
    assert why in found[1]


@pytest.mark.parametrize(
    "wrong", [{"hours": {"25:00-06:00": 1}}, {"hours": {"night": 1}}, {"pilots": -1}, {"node_hours_per_day": -1.0}]
)
def test_a_policy_that_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not a time of day|must not be negative"):
        StandbyPolicy(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"kinds": []}, {"room": 0}, {"lifetime": 0.0}, {"hedge": -1.0}, {"silence": 1e400}])
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must (not be empty|be shorter)|must be finite and (positive|not negative)"):
        StandbySettings(**wrong)  # type: ignore[arg-type]


def pilot(number: int, age: float | None = None, ready: bool = True) -> PilotJob:
    started = None if age is None else NOON - age
    return PilotJob(
        f"standby/openmp/{number}", "openmp", "/jobs", str(number), JobState.RUNNING, None, "n1", 2, NOON - 9e4,
        started, started if ready else None, None, 0.0, 0.0, 0,
    )  # fmt: skip


SETTINGS = StandbySettings(lifetime=3600.0, lead=120.0)


def test_a_pilot_can_request_something_else_than_its_queue() -> None:
    settings = ['standby.openmp.batch.qos="scavenger"', "standby.openmp.batch.nice_user=true"]
    profile = load_site("slurm-generic", settings).profile
    pilot, job = profile.pilot_resources("openmp"), profile.resources("openmp")
    assert (pilot.qos, pilot.nice_user) == ("scavenger", True)
    assert (job.qos, job.nice_user) == ("", False)
    assert msgspec.structs.replace(pilot, qos="", nice_user=False) == job


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('standby.openmp.batch.quality="low"', "standby.openmp.batch: Object contains unknown field `quality`"),
        ("standby.openmp.batch.cores=-1", "cores must be finite"),
        ('standby.openmp.batch.run_on="local"', "must not set run_on"),
    ],
)
def test_a_wrong_request_of_a_pilot_is_refused(setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_site("slurm-generic", [setting])


def test_pilots_that_are_missing_are_asked_for() -> None:
    assert balance([], 2, SETTINGS, NOON) == ([], 2)
    assert balance([pilot(1)], 2, SETTINGS, NOON) == ([], 1)  # a pilot that waits in the queue counts


def test_the_youngest_leave_when_there_are_too_many() -> None:
    assert balance([pilot(1, 50), pilot(2, 10)], 1, SETTINGS, NOON) == (["standby/openmp/2"], 0)
    assert balance([pilot(1, 50), pilot(2, 10)], 0, SETTINGS, NOON) == (["standby/openmp/1", "standby/openmp/2"], 0)


def test_a_pilot_stays_until_its_successor_is_ready() -> None:
    old, young = pilot(1, 3500), pilot(2, 5, ready=False)
    assert balance([old], 1, SETTINGS, NOON) == ([], 1)
    assert balance([old, young], 1, SETTINGS, NOON) == ([], 0)
    assert balance([old, pilot(2, 5)], 1, SETTINGS, NOON) == (["standby/openmp/1"], 0)


@given(st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 4000)), st.booleans()), max_size=6), st.integers(0, 4))
def test_never_fewer_ready_pilots_than_wanted_leave_behind(ages: list[tuple[float | None, bool]], count: int) -> None:
    pilots = [pilot(number, age, ready) for number, (age, ready) in enumerate(ages)]
    leave, missing = balance(pilots, count, SETTINGS, NOON)
    staying = [one for one in pilots if one.key not in leave]
    usable = sum(one.ready is not None for one in pilots)
    assert sum(one.ready is not None for one in staying) >= min(count, usable) or missing
    assert len(staying) + missing >= min(count, len(pilots) + missing)
    assert missing <= count


# ---- the ledger ---------------------------------------------------------------------------------------------------


def test_orders_end_by_themselves_or_are_taken_back(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        standby.order(tx, "openmp", 2, NOON + 60, "someone", NOON)
    order = standby.ordered(ledger.connection, "openmp", NOON)
    assert order is not None
    assert (order["pilots"], order["by"]) == (2, "someone")
    assert standby.ordered(ledger.connection, "general", NOON) is None
    assert standby.ordered(ledger.connection, "openmp", NOON + 60) is None
    with ledger.transaction() as tx:
        assert standby.take_back_order(tx, "openmp", NOON)
        assert not standby.take_back_order(tx, "openmp", NOON)


def test_node_seconds_are_those_of_the_batch_system(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        first, second = (standby.request_pilot(tx, "openmp", "/jobs", NOON) for _ in range(2))
        assert (first, second) == ("standby/openmp/1", "standby/openmp/2")
        standby.submitted(tx, first, "17")
        standby.report(tx, first, JobStatus(first, JobState.RUNNING, started=NOON + 20.0, host="n1"), NOON + 21)
        standby.heartbeat(tx, first, NOON + 25.0, 600.0, 90.0, 3)
        standby.heartbeat(tx, first, NOON + 26.0, 10.0, 5.0, 1)  # an older one, read late
        ended = JobStatus(first, JobState.DONE, started=NOON + 20.0, finished=NOON + 740.0)
        standby.report(tx, first, ended, NOON + 750)
    costs = standby.costs(ledger.connection, "openmp", NOON - 1, NOON + 9000)
    assert costs == {"pilots": 1, "held": 720.0, "busy": 90.0, "idle": 600.0}
    within = standby.costs(ledger.connection, "openmp", NOON + 100, NOON + 300)
    assert (within["pilots"], within["held"]) == (1, 200.0)
    assert standby.costs(ledger.connection, "openmp", NOON - 50, NOON + 20)["pilots"] == 0
    assert standby.costs(ledger.connection, "openmp", NOON + 740, NOON + 800)["pilots"] == 0
    assert standby.node_hours(ledger.connection, "openmp", NOON + 750) == pytest.approx(0.2)
    assert standby.node_hours(ledger.connection, "openmp", NOON + 740 + 86400) == 0.0
    assert [one.key for one in standby.open_pilots(ledger.connection)] == [second]
    assert standby.failures_in_a_row(ledger.connection, "openmp") == (0, 0.0)


def test_pilots_that_never_were_ready_are_counted(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        for number in range(3):
            key = standby.request_pilot(tx, "openmp", "/jobs", NOON)
            if number == 0:
                standby.heartbeat(tx, key, NOON, 1.0, 0.0, 0)
            standby.report(tx, key, JobStatus(key, JobState.FAILED, reason="exit code 2"), NOON + number)
    assert standby.failures_in_a_row(ledger.connection, "openmp") == (2, NOON + 2)
    (last,) = standby.ended(ledger.connection, "openmp", 1)
    assert last.reason == "exit code 2"
