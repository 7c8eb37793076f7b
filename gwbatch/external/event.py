"""An external event: what the notices of one trigger amount to, and what has become of it since."""

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
        The observatory's own rate in Hz, of a targeted search.
    reasons : tuple of str
        Why its notices say that it is no burst.
    not_grb_override : bool or None
        Whether somebody set NOT_GRB in GraceDB (True) or removed it (False), which takes precedence over the notices.
    best_notice : str
        SHA-256 of the notice whose search, time and position are the event's.
    map_notice : str or None
        SHA-256 of the notice that its sky map is made from.
    pending_writes : tuple of str
        Our own label changes (``+LABEL``, ``-LABEL``) that no alert has shown yet.
    adopted : bool
        Somebody else made the event in GraceDB.
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
        """Whether it counts as what its search looks for; a retracted trigger never does."""
        if RETRACTED in self.reasons:
            return False
        return not self.reasons if self.not_grb_override is None else not self.not_grb_override

    @property
    def category(self) -> str:
        """``production``, ``test`` or ``mdc``, as of a superevent: categories never mix."""
        return "test" if self.test else "mdc" if self.search == "MDC" else "production"
