"""Warm standby: how a site runs its pilots (profile), and how many there should be (policy)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
DAY = 86400.0


class StandbySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pilots of one queue.

    Attributes
    ----------
    kinds : list of str
        Computations whose jobs go to a free pilot. The pilot imports what they need in advance.
    room : int
        Tasks that a pilot runs at the same time.
    hedge : float
        Seconds after which a task that no pilot has claimed is submitted to the batch system; 0 takes 1 s on Slurm,
        else 0.5 s.
    silence : float
        Seconds without a heartbeat after which a pilot loses its tasks; 0 takes 20 s on HTCondor, whose reconnection
        alone takes 10 s, else 5 s.
    idle_limit : float
        Seconds without a task after which a pilot leaves; 0: never.
    lifetime : float
        Seconds after which a pilot leaves and another one takes its place.
    lead : float
        Seconds before the end of `lifetime` at which the replacement is requested.
    orphaned_after : float
        Seconds without a heartbeat of the dispatcher after which a pilot leaves.
    tasks_limit : int
        Tasks after which a pilot leaves.
    make_room_after : float
        Seconds that a job of the queue waits in the batch system before a pilot leaves to make room for it, in case
        pilots hold all nodes that the jobs can get; 0: never.
    observing_file : str
        A file in which the site keeps the list of detectors that are observing now (``H1 L1``).
    batch : dict
        Settings of the queue that differ for the pilots' own batch jobs, for example a ``partition``, ``qos`` or
        ``nice_user`` that lets other work preempt them.
    """

    kinds: list[str] = msgspec.field(default_factory=lambda: ["localize"])
    room: int = 1
    hedge: float = 0.0
    silence: float = 0.0
    idle_limit: float = 0.0
    lifetime: float = 21600.0
    lead: float = 120.0
    orphaned_after: float = 180.0
    tasks_limit: int = 500
    make_room_after: float = 120.0
    observing_file: str = ""
    batch: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not self.kinds or self.room < 1 or self.tasks_limit < 1:
            raise ValueError("kinds must not be empty, and room and tasks_limit must be at least 1")
        for name in ("hedge", "silence", "idle_limit", "lead", "make_room_after"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and not negative (got {getattr(self, name)})")
        if self.lead >= self.lifetime:
            raise ValueError("lead must be shorter than lifetime")
        for name in ("lifetime", "orphaned_after"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and positive (got {getattr(self, name)})")


class StandbyPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many pilots a queue should have.

    Each rule gives a number and the largest one counts. An operator's order replaces the rules. `at_most` and
    `node_hours_per_day` limit both.

    Attributes
    ----------
    pilots : int
        Pilots at all times.
    observing, detectors : int
        Pilots while at least `detectors` detectors are observing.
    after_alert : int
        Pilots for `after_alert_for` seconds after a job that pilots can take was planned.
    backlog : int
        Pilots while such jobs wait in the batch system.
    hours : dict
        Pilots at a time of day (UTC): ``"22:00-06:00" = 1``.
    at_most : int
        Largest number of pilots.
    node_hours_per_day : float
        Node-hours that pilots may hold within 24 hours. Once they are used up there are no pilots; 0: no limit.
    """

    pilots: int = 0
    observing: int = 0
    detectors: int = 2
    after_alert: int = 0
    after_alert_for: float = 1800.0
    backlog: int = 0
    hours: dict[str, int] = {}
    at_most: int = 4
    node_hours_per_day: float = 0.0

    def __post_init__(self) -> None:
        for span in self.hours:
            if not _HOURS.fullmatch(span):
                raise ValueError(f'hours: {span!r} is not a time of day; write "22:00-06:00" (UTC)')
        counts = (self.pilots, self.observing, self.after_alert, self.backlog, self.at_most, *self.hours.values())
        if min(counts) < 0 or self.node_hours_per_day < 0:
            raise ValueError("numbers of pilots and node-hours must not be negative")


class Facts(msgspec.Struct, frozen=True):
    """What the number of pilots depends on.

    Attributes
    ----------
    now : float
        Unix time in s.
    ordered : int or None
        Number of pilots that an operator has ordered.
    observing : int
        Number of detectors that are observing.
    last_planned : float or None
        Unix time (s) at which a job that pilots can take was last planned.
    waiting : int
        Number of such jobs that wait in the batch system.
    stuck : int
        Number of jobs of the queue that have waited there for longer than `StandbySettings.make_room_after`.
    node_hours : float
        Node-hours that pilots have held within 24 hours.
    """

    now: float
    ordered: int | None = None
    observing: int = 0
    last_planned: float | None = None
    waiting: int = 0
    stuck: int = 0
    node_hours: float = 0.0


def wanted(policy: StandbyPolicy, facts: Facts) -> tuple[int, str]:
    """Return how many pilots there should be, and why."""
    count, why = _wanted(policy, facts)
    if count and facts.stuck:
        return max(0, count - facts.stuck), f"{facts.stuck} jobs have waited long, and pilots make room for them"
    return count, why


def _wanted(policy: StandbyPolicy, facts: Facts) -> tuple[int, str]:
    if policy.node_hours_per_day and facts.node_hours >= policy.node_hours_per_day:
        return 0, f"{facts.node_hours:.1f} node-hours were held within a day, the most that the policy allows"
    if facts.ordered is not None:
        return min(facts.ordered, policy.at_most), "ordered by an operator"
    rules = [(policy.pilots, "the policy always wants them")]
    if facts.observing >= policy.detectors:
        rules.append((policy.observing, f"{facts.observing} detectors observe"))
    if facts.last_planned is not None and facts.now - facts.last_planned < policy.after_alert_for:
        rules.append((policy.after_alert, f"an alert came {facts.now - facts.last_planned:.0f} s ago"))
    if facts.waiting:
        rules.append((policy.backlog, f"{facts.waiting} jobs wait"))
    rules += [(count, f"it is between {span} UTC") for span, count in policy.hours.items() if _within(span, facts.now)]
    count, why = max(rules, key=lambda rule: rule[0])
    return (min(count, policy.at_most), why) if count else (0, "no rule of the policy wants any")


def _within(span: str, now: float) -> bool:
    found = _HOURS.fullmatch(span)
    assert found is not None
    begin, end = (int(found[n]) * 3600 + int(found[n + 1]) * 60 for n in (1, 3))
    second = now % DAY
    return begin <= second < end if begin <= end else second >= begin or second < end
