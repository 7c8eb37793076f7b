"""The context of a handler: what it may read and do inside the lane's transaction, besides returning effects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.errors import BadInput
from gwbatch.gpstime import utc_to_gps
from gwbatch.handlers.messages import Message
from gwbatch.ledger import Transaction, decisions, timers
from gwbatch.ledger.messages import send_message
from gwbatch.mirror.externals import ExternalStore
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.model import Decision
from gwbatch.superevents.alert import Alert


@dataclass
class Context:
    """The second argument of a handler that takes two.

    Attributes
    ----------
    now : float
        Unix time in seconds.
    topic : str
        Topic on which the message arrived.
    live : bool
        Whether `now` is the real time; False in a replay.
    """

    tx: Transaction
    policy: Policy
    profile: Profile
    now: float
    topic: str = ""
    message_id: int | None = None
    live: bool = True
    decisions: list[Decision] = field(default_factory=list)

    @cached_property
    def mirror(self) -> SupereventStore:
        """The mirror of GraceDB."""
        return SupereventStore(self.tx)

    @cached_property
    def externals(self) -> ExternalStore:
        """The external triggers."""
        return ExternalStore(self.tx)

    def record(self, decision: Decision) -> None:
        """Record a decision, and update the state in the ledger accordingly."""
        if decision.concerns_external:
            self.externals.apply(decision)
        else:
            self.mirror.apply(decision, self.now)
        decisions.record(self.tx, decision, self.now, self.message_id)
        self.decisions.append(decision)

    def reject_future_time(self, gps: float, what: str) -> None:
        """Raise `BadInput` for a GPS time (s) further ahead than the policy allows; accept any time in a replay."""
        limit = datetime.fromtimestamp(self.now + self.policy.future_limit, UTC)
        if self.live and gps > utc_to_gps(limit):
            raise BadInput(f"{what} has the gpstime {gps!r}, which is far in the future.")

    def other_server(self, alert: Alert) -> str | None:
        """Return the host of the GraceDB server that sent an alert; None if it is our own server, or is unknown."""
        url = self.profile.gracedb.url
        return alert.other_server(url) if url else None

    def send(self, message: Message) -> None:
        """Send a message to its lanes, which handle it once this transaction is committed."""
        send_message(self.tx, message, self.now, because=self.message_id)

    def schedule(self, message: Message, at: float, key: str) -> bool:
        """Send a message at a later time, by a timer that survives restarts and kills.

        Parameters
        ----------
        at : float
            Unix time in seconds.
        key : str
            Identifies the timer among those of the message's class.

        Returns
        -------
        bool
            False if a timer of that class and key is already set; it stays as it is.
        """
        return timers.schedule(self.tx, message, key, at, because=self.message_id)

    def unschedule(self, message: type[Message], key: str) -> bool:
        """Cancel a timer, and return whether there was one; a message that it has already sent is still handled."""
        return timers.cancel(self.tx, timers.key_of(message.topic, key))
