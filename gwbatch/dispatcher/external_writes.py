"""What becomes of external triggers in GraceDB: one event for one trigger, and the data of every notice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from gwbatch.dispatcher.outcome import Outcome
from gwbatch.errors import BadInput, TransientError
from gwbatch.external.event_file import event_file
from gwbatch.ledger import Ledger
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

    def __init__(self, ledger: Ledger, writer: Callable[[], Writer]) -> None:
        self._ledger = ledger
        self._writer = writer

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
        self._keep_json(claimed, graceid)
        return Outcome({"graceid": graceid, "ours": ours}, lambda tx: Externals(tx).name(event.key, graceid))

    def replace(self, claimed: Claimed) -> Outcome:
        """Replace the event's file by that of a better notice."""
        event, name, content = self._read(claimed)
        graceid = self.graceid(event.key)
        if event.chosen != claimed.args["notice"]:
            return self.keep(claimed)  # a still better one is on its way: GraceDB must not go back in time
        self._writer().replace_event(graceid, name, content)
        self._keep_json(claimed, graceid)
        return Outcome({"graceid": graceid})

    def keep(self, claimed: Claimed) -> Outcome:
        """Upload a notice beside the one that counts."""
        event, name, content = self._read(claimed)
        graceid = self.graceid(event.key)
        comment = "Notice that another one counts above"
        self._writer().upload(graceid, name, content, comment, [], repeated=claimed.attempts > 1)
        self._keep_json(claimed, graceid)
        return Outcome({"graceid": graceid})

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
        """The event, and the file that GraceDB shall read for a notice: a VOEvent, made if need be."""
        externals = Externals(self._ledger.connection)
        event = externals.get(claimed.args["external"])
        if event is None:
            raise BadInput(f"The ledger knows no external event {claimed.args['external']}.")
        topic, payload, notice = externals.notice(event.key, claimed.args["notice"])
        content = payload if is_voevent(payload) else event_file(notice)
        return event, f"{_name(topic)}.xml", content

    def _keep_json(self, claimed: Claimed, graceid: str) -> None:
        key, digest = claimed.args["external"], claimed.args["notice"]
        topic, payload, _ = Externals(self._ledger.connection).notice(key, digest)
        if not is_voevent(payload):
            self._writer().upload(graceid, f"{_name(topic)}.json", payload, "Notice", [], repeated=True)


def _name(topic: str) -> str:
    return topic.removeprefix("gcn.classic.voevent.").removeprefix("gcn.notices.").lower().replace(".", "_")
