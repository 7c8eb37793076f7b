"""What a handler may read and do besides returning effects, inside the lane's transaction."""

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
    """What a handler that asks for it gets besides the payload.

    Attributes
    ----------
    now : float
        Unix time in seconds.
    topic : str
        Where the message came from.
    live : bool
        Whether `now` is the time at which the message came; not so in a replay.
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
        """External triggers."""
        return ExternalStore(self.tx)

    def record(self, decision: Decision) -> None:
        """Bring the ledger to the state after a decision and write the decision down."""
        if decision.concerns_external:
            self.externals.apply(decision)
        else:
            self.mirror.apply(decision, self.now)
        decisions.record(self.tx, decision, self.now, self.message_id)
        self.decisions.append(decision)

    def reject_future_time(self, gps: float, what: str) -> None:
        """Raise `BadInput` for a GPS time (s) further ahead than the policy allows; not in a replay."""
        limit = datetime.fromtimestamp(self.now + self.policy.future_limit, UTC)
        if self.live and gps > utc_to_gps(limit):
            raise BadInput(f"{what} has the gpstime {gps!r}, which is far in the future.")

    def other_server(self, alert: Alert) -> str | None:
        """Return the host of another GraceDB server that sent an alert; None if it is ours, or cannot be told."""
        url = self.profile.gracedb.url
        return alert.other_server(url) if url else None

    def send(self, message: Message) -> None:
        """Have the lanes of a message handle it, once this transaction is committed."""
        send_message(self.tx, message, self.now, because=self.message_id)

    def schedule(self, message: Message, at: float, key: str) -> bool:
        """Have a message handled at a later time, across restarts and kills.

        Parameters
        ----------
        at : float
            Unix time in seconds.
        key : str
            Tells one timer from the next, among those of the message's class.

        Returns
        -------
        bool
            False if a timer of that class and key is set already; that one stays as it is.
        """
        return timers.schedule(self.tx, message, key, at, because=self.message_id)

    def unschedule(self, message: type[Message], key: str) -> bool:
        """Forget a timer; whether there was one. A message that it has sent already is handled all the same."""
        return timers.cancel(self.tx, timers.key_of(message.topic, key))
