"""External events, which combine the notices of one trigger with what has happened to it since."""

from __future__ import annotations

from dataclasses import dataclass

from gwbatch.external.vetoes import RETRACTED


@dataclass(frozen=True)
class ExternalEvent:
    """An external event.

    Attributes
    ----------
    observatory, search : str
        As in a notice.
    time : float
        GPS s.
    far : float or None
        The observatory's own false alarm rate in Hz, for a targeted search.
    reasons : tuple of str
        Reasons in its notices why it is not a burst.
    not_grb_override : bool or None
        Whether somebody set NOT_GRB in GraceDB (True) or removed it (False), which takes precedence over the notices.
    best_notice : str
        SHA-256 of the notice that defines the event's search, time and position.
    map_notice : str or None
        SHA-256 of the notice that its sky map is made from.
    pending_writes : tuple of str
        Our own label changes (``+LABEL``, ``-LABEL``) that no alert has shown yet.
    adopted : bool
        Whether somebody else created the event in GraceDB.
    """

    key: str
    observatory: str
    search: str
    time: float
    far: float | None = None
    test: bool = False
    reasons: tuple[str, ...] = ()
    not_grb_override: bool | None = None
    labels: tuple[str, ...] = ()
    graceid: str | None = None
    trigger_id: str = ""
    best_notice: str = ""
    map_notice: str | None = None
    pending_writes: tuple[str, ...] = ()
    adopted: bool = False

    @property
    def is_burst(self) -> bool:
        """Whether the event counts as what its search looks for; a retracted trigger never does."""
        if RETRACTED in self.reasons:
            return False
        return not self.reasons if self.not_grb_override is None else not self.not_grb_override

    @property
    def category(self) -> str:
        """``production``, ``test`` or ``mdc``, as for superevents; categories never mix."""
        return "test" if self.test else "mdc" if self.search == "MDC" else "production"
