"""The kinds of public notices, each with what asks for it, what stops it, and what follows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gwbatch.errors import ConfigError
from gwbatch.superevents.manager import ADVREQ, EARLY_WARNING, LOW_SIGNIF_LOCKED, SIGNIF_LOCKED

ADVOK, ADVNO = "ADVOK", "ADVNO"
DQV, DQOK, INJ = "DQV", "DQOK", "INJ"
VETOES = frozenset({DQV, INJ})


class Threshold(StrEnum):
    """How rare the preferred event must be for a notice."""

    SIGNIFICANT = "significant"
    LESS_SIGNIFICANT = "less_significant"
    NONE = "none"


@dataclass(frozen=True)
class AlertKind:
    """One kind of public notice.

    Attributes
    ----------
    name : str
        Stored in the ledger and part of each notice's identity, so it must never change.
    alert_type : str
        ``alert_type`` in the notice that astronomers receive.
    label : str or None
        The label on the superevent that asks for the notice.
    refused_when : frozenset of str
        Labels on the superevent that prevent the notice from being planned at all.
    blocked_by : frozenset of str
        Labels on the superevent, or DQV and INJ on its preferred event, that stop the notice until it is frozen.
    threshold : Threshold
        The threshold that the preferred event must pass.
    reselects : bool
        Whether to choose the preferred event again before the notice is planned.
    sent_label : str or None
        Label set on the superevent once a broker has the notice.
    ordered : bool
        Whether a person asks for the notice, rather than a label or a timer.
    second : str or None
        The kind that follows, ``alerts.second_after`` seconds after the first delivery of this one.
    checks_data : bool
        Whether to check the data quality first. The notice waits for the verdict for a bounded time.
    has_event : bool
        Whether the notice describes the event; a retraction does not.
    circular : str or None
        The circular that is drafted afterwards.
    calls_people : bool
        Whether to set HIGH_PROFILE on the superevent if the notice deserves it.
    """

    name: str
    alert_type: str
    label: str | None = None
    refused_when: frozenset[str] = frozenset()
    blocked_by: frozenset[str] = frozenset({INJ})
    threshold: Threshold = Threshold.NONE
    reselects: bool = False
    sent_label: str | None = None
    ordered: bool = False
    second: str | None = None
    checks_data: bool = False
    has_event: bool = True
    circular: str | None = None
    calls_people: bool = False

    @property
    def significant(self) -> bool | None:
        """The value of ``event.significant``; None if it follows from the superevent."""
        return None if self.threshold is Threshold.NONE else self.threshold is Threshold.SIGNIFICANT

    @property
    def is_automatic(self) -> bool:
        """Whether no person asks for the notice. If so, it goes out once, and not if it is hours late."""
        return self.threshold is not Threshold.NONE and not self.ordered


KINDS: dict[str, AlertKind] = {}
"""Every kind by name, including those of plug-ins."""


def declare(kind: AlertKind) -> AlertKind:
    """Add a kind of notice.

    Raises
    ------
    ConfigError
        If another kind has the same name, or the same label.
    """
    known = KINDS.get(kind.name)
    rival = kind_asked_for_by(kind.label) if kind.label else None
    if (known is not None and known != kind) or (rival is not None and rival.name != kind.name):
        raise ConfigError(f"Cannot declare the alert kind {kind.name!r}: its name or label is already taken.")
    KINDS[kind.name] = kind
    return kind


def kind_named(name: str) -> AlertKind:
    """Return a kind by its name.

    Raises
    ------
    ConfigError
        If no kind has this name.
    """
    if name not in KINDS:
        raise ConfigError(f"There is no alert kind {name!r}. Known: {', '.join(sorted(KINDS))}.")
    return KINDS[name]


def kind_asked_for_by(label: str) -> AlertKind | None:
    """Return the kind that a label on a superevent asks for."""
    return next((kind for kind in KINDS.values() if kind.label == label), None)


def kind_of(alert_type: str, significant: bool | None, before: int) -> AlertKind:
    """Return the kind of a notice that somebody has sent, derived from its content.

    Parameters
    ----------
    before : int
        Number of earlier notices about the superevent with the same type and significance. The first PRELIMINARY is
        followed by the second one, and any later one was ordered.

    Raises
    ------
    ConfigError
        If no kind has that `alert_type`.
    """
    found = [
        kind
        for kind in KINDS.values()
        if kind.alert_type == alert_type and (kind.significant is None or kind.significant == significant)
    ]
    if not found:
        raise ConfigError(f"No alert kind has the alert_type {alert_type!r}.")
    return found[min(before, len(found) - 1)]


_SETTLED = frozenset({ADVOK, ADVNO})  # a person has decided

declare(
    AlertKind(
        "less-significant",
        "PRELIMINARY",
        label=LOW_SIGNIF_LOCKED,
        refused_when=frozenset({SIGNIF_LOCKED, EARLY_WARNING}),
        blocked_by=_SETTLED | VETOES | {SIGNIF_LOCKED, EARLY_WARNING},
        threshold=Threshold.LESS_SIGNIFICANT,
        sent_label="LOW_SIGNIF_PRELIM_SENT",
        second="second-less-significant",
        checks_data=True,
    )
)
declare(
    AlertKind(
        "second-less-significant",
        "PRELIMINARY",
        refused_when=_SETTLED | {ADVREQ, SIGNIF_LOCKED, EARLY_WARNING},
        blocked_by=_SETTLED | VETOES | {SIGNIF_LOCKED, EARLY_WARNING},
        threshold=Threshold.LESS_SIGNIFICANT,
        reselects=True,
    )
)
declare(
    AlertKind(
        "early-warning",
        "EARLYWARNING",
        label=EARLY_WARNING,
        refused_when=frozenset({SIGNIF_LOCKED}),
        blocked_by=_SETTLED | VETOES | {SIGNIF_LOCKED},
        threshold=Threshold.SIGNIFICANT,
        reselects=True,
        circular="earlywarning",
    )
)
declare(
    AlertKind(
        "preliminary",
        "PRELIMINARY",
        label=SIGNIF_LOCKED,
        blocked_by=_SETTLED | VETOES,
        threshold=Threshold.SIGNIFICANT,
        reselects=True,
        sent_label="GCN_PRELIM_SENT",
        second="second-preliminary",
        checks_data=True,
        circular="preliminary",
        calls_people=True,
    )
)
declare(
    AlertKind(
        "second-preliminary",
        "PRELIMINARY",
        blocked_by=_SETTLED | VETOES,
        threshold=Threshold.SIGNIFICANT,
        reselects=True,
        circular="preliminary",
    )
)
declare(
    AlertKind(
        "ordered-preliminary",
        "PRELIMINARY",
        ordered=True,
        blocked_by=_SETTLED | VETOES,
        threshold=Threshold.SIGNIFICANT,
        sent_label="GCN_PRELIM_SENT",
        circular="preliminary",
    )
)
declare(AlertKind("initial", "INITIAL", label=ADVOK, circular="initial"))
declare(AlertKind("update", "UPDATE", ordered=True))
declare(
    AlertKind("retraction", "RETRACTION", label=ADVNO, blocked_by=frozenset(), has_event=False, circular="retraction")
)
