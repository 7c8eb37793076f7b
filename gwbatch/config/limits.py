"""Limits beyond which a value is worth a warning or is critical."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import inf
from typing import Any

Pair = tuple[float, float]


@dataclass(frozen=True)
class Limits:
    """``[limits]`` of a site profile, which status, check, notifications and the console apply.

    A pair holds the limit for a warning and the limit for critical.

    Attributes
    ----------
    lane_age, effect_age : tuple of float
        Age of the oldest waiting message and effect, s.
    lag : tuple of float
        Messages that a listener is behind.
    disk_free : tuple of float
        Free space of the state directory, GiB.
    clock_behind : tuple of float
        Time by which this machine's clock lags behind the servers', s.
    notice_age : tuple of float
        Age of a public notice that has not reached its brokers, s.
    job_wait : float
        Seconds that a job may wait in the batch system; 0: any time.
    standby_age : float
        Seconds for which fewer pilots than wanted may be ready.
    backup_age : float
        Age of the newest backup, s. A ledger that was never backed up causes no warning.
    silence : float
        Seconds without a message after which a listener counts as silent; 0: never.
    recent : float
        Seconds for which a failure is reported.
    """

    lane_age: Pair = (10.0, 60.0)
    effect_age: Pair = (120.0, 900.0)
    lag: Pair = (100.0, 10_000.0)
    disk_free: Pair = (5.0, 1.0)
    clock_behind: Pair = (1.0, 30.0)
    notice_age: Pair = (10.0, 90.0)
    job_wait: float = 1800.0
    standby_age: float = 900.0
    backup_age: float = 26 * 3600.0
    silence: float = 0.0
    recent: float = 86400.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not all(0 <= one < inf for one in (value if isinstance(value, tuple) else (value,))):
                raise ValueError(f"{name} must be finite and not negative (got {value})")
        for name in ("lane_age", "effect_age", "lag", "clock_behind", "notice_age"):
            if getattr(self, name)[0] > getattr(self, name)[1]:
                raise ValueError(f"{name} must be [WARNING, CRITICAL], the smaller value first")
        if self.disk_free[0] < self.disk_free[1]:
            raise ValueError("disk_free must be [WARNING, CRITICAL], the larger value first")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Limits:
        """Return the default limits with some values replaced.

        Raises
        ------
        ValueError
            If a value is invalid, or no limit has its name.
        """
        usual = {field.name: field.default for field in fields(cls)}
        for name in values:
            if name not in usual:
                raise ValueError(f"unknown limit {name}; known: {', '.join(usual)}")
        return cls(**{name: _like(usual[name], value, name) for name, value in values.items()})


def _like(usual: Any, value: Any, name: str) -> Any:
    """Convert a value to the type of the default, a number or a pair of numbers."""
    try:
        if isinstance(usual, tuple):
            warning, critical = map(float, value)
            return warning, critical
        return float(value)
    except (TypeError, ValueError):
        what = "[WARNING, CRITICAL]" if isinstance(usual, tuple) else "a number"
        raise ValueError(f"{name} must be {what} (got {value!r})") from None
