"""Executors of effects on external events: one GraceDB event per trigger, with the data of every notice."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable

from gwbatch.effects.kinds import AdoptExternal, CreateExternal, KeepNotice, ReadExternal, ReplaceExternal
from gwbatch.errors import BadInput
from gwbatch.executors.gracedb import upload_file, write_label
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.external.event import ExternalEvent
from gwbatch.external.event_file import event_file
from gwbatch.external.notices import LARGEST
from gwbatch.external.voevent import is_voevent
from gwbatch.failpoints import hit
from gwbatch.gracedb import translate_errors
from gwbatch.handlers.messages import ExternalFound
from gwbatch.ledger import Transaction
from gwbatch.ledger.messages import send_message
from gwbatch.mirror.externals import ExternalStore
from gwbatch.runtime import Runtime

log = logging.getLogger(__name__)


@executor(CreateExternal)
def create_external(claim: Claim[CreateExternal], runtime: Runtime) -> EffectResult:
    """Create the event, or adopt the one that GraceDB already has for this trigger.

    An adopted event gets our notice and labels, and its own file and labels are taken into account, too.
    """
    event, name, content = _notice(claim.effect, runtime)
    graceid = _existing(event, runtime)
    if graceid is None:
        graceid = _create(event, name, content, claim.effect.labels, runtime)
        return EffectResult({"graceid": graceid, "ours": True}, lambda tx: ExternalStore(tx).name(event.key, graceid))
    log.warning("GraceDB already has %s for trigger %s", graceid, event.trigger_id)
    upload_file(graceid, name, content, "Notice", (), runtime.gracedb(), repeated=True)
    for label in claim.effect.labels:
        write_label(graceid, label, runtime.gracedb())
    return _adopt_existing(claim, event.key, graceid, runtime)


def _existing(event: ExternalEvent, runtime: Runtime) -> str | None:
    """Return the oldest event of this trigger. Another dispatcher, or one with a lost ledger, may have created it."""
    words = f'group: {_group(event)} pipeline: {event.observatory} grbevent.trigger_id = "{event.trigger_id}"'
    if event.search == "MDC":  # mock triggers all have the same ID
        words += f" MDC {event.time - 1} .. {event.time + 1}"
    with translate_errors(f"look for trigger {event.trigger_id} of {event.observatory}"):
        found = [str(event["graceid"]) for event in runtime.gracedb().client.events(words)]
    return min(found, key=lambda graceid: (len(graceid), graceid), default=None)


def _create(event: ExternalEvent, filename: str, content: bytes, labels: tuple[str, ...], runtime: Runtime) -> str:
    client = runtime.gracedb().client
    with translate_errors(f"create the event of trigger {event.trigger_id} of {event.observatory}"):
        reply = client.create_event(
            _group(event), event.observatory, filename, search=event.search, filecontents=content, labels=list(labels)
        ).json()
        hit("gracedb.after_create_external")
    if reply.get("gpstime") is None:
        log.error("GraceDB could not read %s of %s: %s", filename, reply["graceid"], reply.get("warnings"))
    return str(reply["graceid"])


def _group(event: ExternalEvent) -> str:
    return "Test" if event.test else "External"


def _adopt_existing(claim: Claim[CreateExternal], key: str, graceid: str, runtime: Runtime) -> EffectResult:
    send = _found(claim, graceid, runtime, existing=True)

    def commit(tx: Transaction) -> None:
        ExternalStore(tx).adopt(key, graceid)
        send(tx)

    return EffectResult({"graceid": graceid, "ours": False}, commit)


@executor(ReplaceExternal)
def replace_external(claim: Claim[ReplaceExternal], runtime: Runtime) -> EffectResult:
    """Replace the event's file. If there is a better notice by now, or the event is adopted, only upload this one."""
    event, name, content = _notice(claim.effect, runtime)
    if event.best_notice != claim.effect.notice or event.adopted:
        return _keep(claim, runtime)
    graceid, server = runtime.graceid(event.key), runtime.gracedb()
    if not server.has_file(graceid, name, content):
        with translate_errors(f"replace {name} of {graceid}"):
            server.client.replace_event(graceid, name, filecontents=content)
            hit("gracedb.after_replace_event")
    return EffectResult({"graceid": graceid})


@executor(KeepNotice)
def keep_notice(claim: Claim[KeepNotice], runtime: Runtime) -> EffectResult:
    """Upload a notice to an event that is based on a better one."""
    return _keep(claim, runtime)


def _keep(claim: Claim[KeepNotice] | Claim[ReplaceExternal], runtime: Runtime) -> EffectResult:
    event, name, content = _notice(claim.effect, runtime)
    graceid = runtime.graceid(event.key)
    comment = "Notice over which another one takes precedence"
    upload_file(graceid, name, content, comment, (), runtime.gracedb(), repeated=claim.repeated)
    return EffectResult({"graceid": graceid})


@executor(ReadExternal)
def read_external(claim: Claim[ReadExternal], runtime: Runtime) -> EffectResult:
    """Read an event that somebody else created, and hand it to the lane of external triggers."""
    return EffectResult({}, _found(claim, claim.effect.graceid, runtime))


def _found(
    claim: Claim[ReadExternal] | Claim[CreateExternal], graceid: str, runtime: Runtime, *, existing: bool = False
) -> Callable[[Transaction], None]:
    """Read an event that somebody else created; return a function that sends it to the lane of external triggers."""
    found, filename, content = runtime.gracedb().event_file(graceid, LARGEST)
    encoded = None if content is None else base64.b64encode(content).decode()
    message = ExternalFound(found, filename, encoded, existing)

    def send(tx: Transaction) -> None:
        send_message(tx, message, runtime.clock.now(), because=claim.key)

    return send


@executor(AdoptExternal)
def adopt_external(claim: Claim[AdoptExternal], runtime: Runtime) -> EffectResult:
    """Do nothing; once this effect is done, the effects that wait for the event's creation can run."""
    return EffectResult({"graceid": claim.effect.graceid})


def _notice(
    effect: CreateExternal | ReplaceExternal | KeepNotice, runtime: Runtime
) -> tuple[ExternalEvent, str, bytes]:
    """Return the event, and the name and content of the notice's file in GraceDB."""
    externals = ExternalStore(runtime.ledger.connection)
    event = externals.get(effect.external)
    if event is None:
        raise BadInput(f"Cannot write external event {effect.external}: it is not in the ledger.")
    topic, payload, notice = externals.notice(event.key, effect.notice)
    return event, f"{_name(topic)}.{'xml' if is_voevent(payload) else 'json'}", event_file(payload, notice)


def _name(topic: str) -> str:
    return topic.removeprefix("gcn.classic.voevent.").removeprefix("gcn.notices.").lower().replace(".", "_")
