"""What becomes of external triggers in GraceDB: one event for one trigger, and the data of every notice."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gwbatch.clock import Clock
from gwbatch.dispatcher.outcome import Outcome
from gwbatch.errors import BadInput, TransientError
from gwbatch.external.event_file import event_file
from gwbatch.external.notices import LARGEST
from gwbatch.handlers.registry import EXTERNAL_FOUND
from gwbatch.ledger import Ledger, Transaction, messages
from gwbatch.ledger.effects import Claimed
from gwbatch.ledger.external import External, Externals
from gwbatch.voevent import is_voevent

if TYPE_CHECKING:
    from gwbatch.gracedb.writer import Writer

log = logging.getLogger(__name__)


class ExternalWrites:
    """The executors of effects on external events.

    Parameters
    ----------
    writer : callable
        Gives the GraceDB writer.
    """

    def __init__(self, ledger: Ledger, writer: Callable[[], Writer], clock: Clock) -> None:
        self._ledger = ledger
        self._writer = writer
        self._clock = clock

    def create(self, claimed: Claimed) -> Outcome:
        """Make the event; GraceDB is asked first whether it has one for the trigger already."""
        event, name, content = self._read(claimed)
        graceid, ours = self._writer().create_external(
            event.observatory,
            event.trigger_id,
            event.search,
            event.time,
            name,
            content,
            claimed.args["labels"],
            test=event.test,
        )
        if not ours:
            log.warning("GraceDB has %s for trigger %s already", graceid, event.trigger_id)
            self._writer().upload(graceid, name, content, "Notice", [], repeated=True)
            for label in claimed.args["labels"]:
                self._writer().label(graceid, label, repeated=True)
            return self._adopt_existing(claimed, event.key, graceid)
        return Outcome({"graceid": graceid, "ours": ours}, lambda tx: Externals(tx).name(event.key, graceid))

    def _adopt_existing(self, claimed: Claimed, key: str, graceid: str) -> Outcome:
        """Somebody made the event before us: its labels and its file count too."""
        send = self._found(claimed, graceid, existing=True)

        def commit(tx: Transaction) -> None:
            Externals(tx).adopt(key, graceid)
            send(tx)

        return Outcome({"graceid": graceid, "ours": False}, commit)

    def replace(self, claimed: Claimed) -> Outcome:
        """Replace the event's file by that of a better notice."""
        event, name, content = self._read(claimed)
        graceid = self.graceid(event.key)
        if event.chosen != claimed.args["notice"]:
            return self.keep(claimed)  # a still better one is on its way: GraceDB must not go back in time
        if event.adopted:
            return self.keep(claimed)  # only who made the event may replace its file
        self._writer().replace_event(graceid, name, content)
        return Outcome({"graceid": graceid})

    def keep(self, claimed: Claimed) -> Outcome:
        """Upload a notice beside the one that counts."""
        event, name, content = self._read(claimed)
        graceid = self.graceid(event.key)
        comment = "Notice that another one counts above"
        self._writer().upload(graceid, name, content, comment, [], repeated=claimed.attempts > 1)
        return Outcome({"graceid": graceid})

    def read(self, claimed: Claimed) -> Outcome:
        """Read an event that somebody else made, and hand it to the lane of external triggers."""
        return Outcome({}, self._found(claimed, claimed.args["graceid"]))

    def _found(self, claimed: Claimed, graceid: str, *, existing: bool = False) -> Callable[[Transaction], None]:
        """Read an event of somebody else's; returns what hands it to the lane of external triggers."""
        found, filename, content = self._writer().event_file(graceid, LARGEST)
        encoded = None if content is None else base64.b64encode(content).decode()
        message: dict[str, Any] = {"object": found, "filename": filename, "content": encoded, "because": claimed.key}
        message["existing"] = existing

        def send(tx: Transaction) -> None:
            messages.send(tx, "lane", EXTERNAL_FOUND, message, ["exttrig"], self._clock.now())

        return send

    def adopt(self, claimed: Claimed) -> Outcome:
        """Let what waits for the event go on: somebody else made it."""
        return Outcome({"graceid": claimed.args["graceid"]})

    def graceid(self, key: str) -> str:
        """The GraceDB id of an external event.

        Raises
        ------
        TransientError
            While it has none.
        """
        event = Externals(self._ledger.connection).get(key)
        if event is None or event.graceid is None:
            raise TransientError(
                f"External event {key} has no GraceDB id yet: its creation has not succeeded (see 'gwbatch status')."
            )
        return event.graceid

    def _read(self, claimed: Claimed) -> tuple[External, str, bytes]:
        """Return the event, and name and content of its file in GraceDB."""
        externals = Externals(self._ledger.connection)
        event = externals.get(claimed.args["external"])
        if event is None:
            raise BadInput(f"The ledger knows no external event {claimed.args['external']}.")
        topic, payload, notice = externals.notice(event.key, claimed.args["notice"])
        return event, f"{_name(topic)}.{'xml' if is_voevent(payload) else 'json'}", event_file(payload, notice)


def _name(topic: str) -> str:
    return topic.removeprefix("gcn.classic.voevent.").removeprefix("gcn.notices.").lower().replace(".", "_")
