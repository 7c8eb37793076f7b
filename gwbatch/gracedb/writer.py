"""Each GraceDB effect, done once: before a repeat whose first outcome is unknown, the server is asked."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ligo.gracedb.rest import GraceDb

from gwbatch.errors import BadInput
from gwbatch.faults import mark
from gwbatch.gracedb.client import GraceDBError, errors_in_words

log = logging.getLogger(__name__)

CATEGORIES = {"production": "P", "test": "T", "mdc": "M"}


class Writer:
    """Writes to GraceDB.

    Every method takes `repeated`: whether an earlier attempt may already have happened.
    """

    def __init__(self, client: GraceDb) -> None:
        self.client = client

    def create_superevent(self, args: Mapping[str, Any], *, repeated: bool) -> tuple[str, bool]:
        """Create a superevent; returns its id, and whether it is ours: the event may be in somebody else's already."""
        event = args["event"]
        if repeated:
            existing = self._superevent_of(event)
            if existing:
                return existing, True
        try:
            with errors_in_words(f"create a superevent of {event}"):
                response = self.client.create_superevent(
                    args["t_start"], args["t_0"], args["t_end"], event, category=CATEGORIES[args["category"]]
                )
                mark("gracedb.after_create_superevent")
                return str(response.json()["superevent_id"]), True
        except GraceDBError as error:
            existing = self._superevent_of(event) if "already" in error.text else None
            if existing:
                return existing, False
            raise

    def update_superevent(self, superevent: str, changes: Mapping[str, Any], *, repeated: bool) -> None:
        """Change window or preferred event; changes that are there already are fine."""
        values = {"preferred_event" if name == "preferred" else name: value for name, value in changes.items()}
        with self._accept("would not modify"), errors_in_words(f"update superevent {superevent}"):
            self.client.update_superevent(superevent, **values)
            mark("gracedb.after_update_superevent")

    def add_event(self, superevent: str, event: str, *, repeated: bool) -> None:
        """Add an event to a superevent.

        Raises
        ------
        GraceDBError
            When it belongs to another superevent.
        """
        try:
            with errors_in_words(f"add {event} to {superevent}"):
                self.client.add_event_to_superevent(superevent, event)
                mark("gracedb.after_add_event")
        except GraceDBError:
            if self._superevent_of(event) != superevent:
                raise

    def label(self, target: str, name: str, *, repeated: bool) -> None:
        """Set a label; one that is there already, or that a signoff has overtaken, is fine."""
        with (
            self._accept("already applied", "related signoff already exists"),
            errors_in_words(f"label {target} {name}"),
        ):
            try:
                self.client.write_label(target, name)
            except (ValueError, NameError) as error:
                raise BadInput(f"GraceDB has no label {name}: {error}") from error
            mark("gracedb.after_label")

    def remove_label(self, target: str, name: str) -> None:
        """Take a label away; one that is not there is fine."""
        try:
            with errors_in_words(f"remove the label {name} from {target}"):
                self.client.remove_label(target, name)
                mark("gracedb.after_remove_label")
        except GraceDBError as error:
            if error.status != 404:
                raise

    def remove_event(self, superevent: str, event: str) -> None:
        """Take an event out of a superevent; one that is not in it is fine."""
        try:
            with errors_in_words(f"remove {event} from {superevent}"):
                self.client.remove_event_from_superevent(superevent, event)
        except GraceDBError as error:
            if error.status != 404:
                raise

    def create_external(
        self, pipeline: str, trigger_id: str, search: str, time: float, filename: str, content: bytes,
        labels: list[str], *, test: bool,
    ) -> tuple[str, bool]:  # fmt: skip
        """Create the event of an external trigger; returns its id, and whether it was made now.

        GraceDB is always asked first: another dispatcher, or one whose ledger is lost, may have made it.
        """
        group = "Test" if test else "External"
        words = f'group: {group} pipeline: {pipeline} grbevent.trigger_id = "{trigger_id}"'
        if search == "MDC":  # mock triggers all bear the same id
            words += f" MDC {time - 1} .. {time + 1}"
        with errors_in_words(f"look for trigger {trigger_id} of {pipeline}"):
            found = [str(event["graceid"]) for event in self.client.events(words)]
        if found:
            return min(found, key=lambda graceid: (len(graceid), graceid)), False
        with errors_in_words(f"create the event of trigger {trigger_id} of {pipeline}"):
            reply = self.client.create_event(
                group, pipeline, filename, search=search, filecontents=content, labels=labels
            ).json()
            mark("gracedb.after_create_external")
        if reply.get("gpstime") is None:
            log.error("GraceDB could not read %s of %s: %s", filename, reply["graceid"], reply.get("warnings"))
        return str(reply["graceid"]), True

    def replace_event(self, graceid: str, filename: str, content: bytes) -> None:
        """Replace the file of an event, unless it has this content already."""
        if self._has_file(graceid, filename, content):
            return
        with errors_in_words(f"replace {filename} of {graceid}"):
            self.client.replace_event(graceid, filename, filecontents=content)
            mark("gracedb.after_replace_event")

    def upload(
        self, target: str, filename: str, content: bytes, comment: str, tags: list[str], *, repeated: bool
    ) -> None:
        """Upload a file with a log message; the same content is not uploaded twice by us."""
        if repeated and self._has_file(target, filename, content):
            return
        with errors_in_words(f"upload {filename} to {target}"):
            self.client.write_log(target, comment, filename=filename, filecontents=content, tag_name=tags)
            mark("gracedb.after_upload")

    def log(self, target: str, comment: str, tags: list[str], *, repeated: bool) -> None:
        """Write a log message without a file."""
        with errors_in_words(f"write a log message to {target}"):
            if repeated:
                body = self.client.logs(target).json()
                if any(entry.get("comment") == comment for entry in body.get("logs", body.get("log", []))):
                    return
            self.client.write_log(target, comment, tag_name=tags)
            mark("gracedb.after_log")

    def download(self, source: str, filename: str) -> bytes:
        """The newest version of a file.

        Raises
        ------
        GraceDBError
            When there is none (status 404).
        """
        with errors_in_words(f"download {filename} of {source}"):
            stream = self.client.files(source, filename)
            try:
                return bytes(stream.read())
            finally:
                stream.close()
                stream.release_conn()

    def event_file(self, graceid: str, largest: int) -> tuple[dict[str, Any], str, bytes | None]:
        """Return an event, and name and content of the file that it was made from.

        The content is None where there is no such file, or it has more than `largest` bytes.
        """
        with errors_in_words(f"read event {graceid}"):
            event = dict(self.client.event(graceid).json())
            entries = self.client.logs(graceid).json()
        named = [
            str(entry["filename"]) for entry in entries.get("log", entries.get("logs", [])) if entry.get("filename")
        ]
        if not named:
            return event, "", None
        try:
            content = self.download(graceid, named[0])
        except GraceDBError as error:
            if error.status != 404:
                raise
            return event, named[0], None
        return event, named[0], content if len(content) <= largest else None

    def upload_file(
        self, target: str, filename: str, path: Path, comment: str, tags: list[str], *, repeated: bool
    ) -> None:
        """Upload a file of this machine."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadInput(
                f"Cannot upload {filename} to {target}: {path} cannot be read ({error.strerror})."
            ) from error
        self.upload(target, filename, content, comment, tags, repeated=repeated)

    def _superevent_of(self, event: str) -> str | None:
        with errors_in_words(f"read event {event}"):
            named = self.client.event(event).json().get("superevent")
        return str(named) if named else None

    def _has_file(self, target: str, filename: str, content: bytes) -> bool:
        try:
            existing = self.download(target, filename)
        except GraceDBError as error:
            if error.status == 404:
                return False
            raise
        return hashlib.sha256(existing).digest() == hashlib.sha256(content).digest()

    @staticmethod
    def _accept(*phrases: str) -> _Accepted:
        return _Accepted(phrases)


class _Accepted:
    """Swallows a refusal that says the wish is fulfilled already."""

    def __init__(self, phrases: tuple[str, ...]) -> None:
        self._phrases = phrases

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> bool:
        return (
            isinstance(error, GraceDBError)
            and error.status == 400
            and any(phrase in error.text for phrase in self._phrases)
        )
