"""Declaration of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True)
class Sample:
    """One value of a gauge or counter, with the values of the metric's labels."""

    value: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Buckets:
    """One histogram: upper bounds with the number of values up to each, and the sum of all values."""

    labels: tuple[str, ...]
    counts: list[tuple[str, int]]
    total: float


@dataclass(frozen=True)
class Look:
    """What metrics are measured from.

    Attributes
    ----------
    report : dict
        The report that ``gwbatch status --json`` prints.
    now : float
        Unix time in s.
    """

    ledger: Ledger
    report: dict[str, Any]
    now: float

    def number(self, sql: str) -> float:
        """Return the single number that a query selects, with 0 for NULL."""
        return float(self.ledger.read(sql)[0][0] or 0)


Measure = Callable[[Look], "float | Iterable[Sample] | Iterable[Buckets]"]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    unit : str
        Grafana's name for the unit: ``s``, ``bytes``, ``short``, ``bool``.
    row : str
        The dashboard row that shows the metric.
    measure : callable
        Returns the samples, or one number for a metric without labels.
    """

    name: str
    kind: Kind
    help: str
    row: str
    labels: tuple[str, ...]
    unit: str
    measure: Measure


METRICS: dict[str, Metric] = {}
"""Every metric by name, including those of plug-ins."""


def metric(
    name: str, kind: Kind, help: str, *, row: str, labels: tuple[str, ...] = (), unit: str = "short"
) -> Callable[[Measure], Measure]:
    """Declare a metric. The decorated function takes a `Look` and returns the samples.

    Raises
    ------
    ConfigError
        If another module has already declared a metric of that name.

    Examples
    --------
    >>> @metric("gwbatch_messages_total", "counter", "Messages written down.", row="Lanes")
    ... def messages(look): return look.number("SELECT max(id) FROM messages")
    """

    def declare(measure: Measure) -> Measure:
        if name in METRICS and METRICS[name].measure.__module__ != measure.__module__:
            raise ConfigError(f"Cannot declare the metric {name}: another metric has this name. Choose another name.")
        METRICS[name] = Metric(name, kind, help, row, labels, unit, measure)
        return measure

    return declare
