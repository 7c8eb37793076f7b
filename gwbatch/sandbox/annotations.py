"""Annotations of events and superevents: labels, logs, tags and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from gwbatch.sandbox import events, superevents
from gwbatch.sandbox.store import USER, ApiError, Store, utc_now
from gwbatch.sandbox.vocabulary import LABELS

_REQUESTS = {"ADVREQ": "ADV", "H1OPS": "H1", "L1OPS": "L1", "V1OPS": "V1"}
PROTECTED = frozenset({"ADVOK", "ADVNO", "H1OK", "H1NO", "L1OK", "L1NO", "V1OK", "V1NO"})


@dataclass(frozen=True)
class LoggedObject:
    """An event or superevent, with its labels, logs, tags and files."""

    store: Store
    base: str
    kind: str
    identifier: str

    @classmethod
    def load(cls, store: Store, base: str, kind: str, identifier: str) -> LoggedObject:
        """Return the object, or raise a 404 error if it does not exist."""
        if kind == "superevent":
            identifier = superevents.load(store, identifier)["superevent_id"]
        else:
            store.get(kind, identifier)
        return cls(store, base, kind, identifier)

    def announce(self, alert_type: str, data: Any) -> None:
        """Put an alert about the object into the outbox."""
        (superevents if self.kind == "superevent" else events).announce(
            self.store, self.base, self.identifier, alert_type, data
        )

    @property
    def own(self) -> str:
        """The object's address, with a trailing slash."""
        return f"{self.base}{self.kind}s/{self.identifier}/"

    # ---- labels -------------------------------------------------------------------------------------------

    def labels(self) -> list[dict[str, Any]]:
        """Return all labels."""
        return [{**label, "self": f"{self.own}labels/{label['name']}"} for label in self.store.labels(self.identifier)]

    def label(self, name: str) -> dict[str, Any]:
        """Return one label."""
        found = next((label for label in self.labels() if label["name"] == name), None)
        if found is None:
            raise ApiError(404, f"No label {name} for {self.kind} {self.identifier}")
        return found

    def _signed(self) -> set[str]:
        """Return who has signed off: ``ADV`` for the advocates, and the names of instruments."""
        records = self.store.records(self.identifier, "signoff")
        return {"ADV" if record["signoff_type"] == "ADV" else record["instrument"] for record in records}

    def add_label(self, name: str, *, by_signoff: bool = False) -> tuple[bool, dict[str, Any]]:
        """Set a label. Setting it twice is allowed on an event, but an error on a superevent."""
        if name not in LABELS:
            raise ApiError(400, f"Label {name} does not exist")
        if name in PROTECTED and not by_signoff:
            raise ApiError(400, f"Label {name} is protected: it follows from a signoff")
        if name in _REQUESTS and _REQUESTS[name] in self._signed():
            said = (
                f"The '{name}' label cannot be applied to request a signoff because a related signoff already exists."
            )
            raise ApiError(400, said)
        new = self.store.add_label(self.identifier, name)
        if not new and self.kind == "superevent":
            raise ApiError(400, f"Label {name} already applied to superevent {self.identifier}")
        label = self.label(name)
        if new:
            self._autolog(f"Added label: {name}" if self.kind == "superevent" else f"Label: {name}")
            self.announce("label_added", label)
        return new, label

    def remove_label(self, name: str) -> None:
        """Remove a label."""
        label = self.label(name)
        self.store.remove_label(self.identifier, name)
        self._autolog(f"Removed label: {name}")
        self.announce("label_removed", label)

    # ---- logs ---------------------------------------------------------------------------------------------

    def logs(self) -> list[dict[str, Any]]:
        """Return all log messages."""
        return [self._shown(entry) for entry in self.store.records(self.identifier, "log")]

    def log(self, number: int) -> dict[str, Any]:
        """Return one log message."""
        return self._shown(self._entry(number))

    def add_log(
        self, comment: str, tags: list[str], upload: tuple[str, bytes] | None, labels: list[str]
    ) -> dict[str, Any]:
        """Write a log message, optionally with a file, tags and labels."""
        name, version = "", None
        if upload is not None:
            name = PurePosixPath(upload[0].replace("\\", "/")).name
            if "," in name or not name:
                raise ApiError(400, f"Bad file name {name!r}")
            version = self.store.add_file(self.identifier, name, upload[1])
        entry = self._write(comment, list(dict.fromkeys(tags)), name, version)
        self.announce("log", entry)
        try:
            for label in labels:
                if label not in [known["name"] for known in self.labels()]:
                    self.add_label(label)
        except ApiError as refused:
            raise ApiError(refused.status, refused.message, keep=True) from refused  # the log stays, as in GraceDB
        return entry

    def _entry(self, number: int) -> dict[str, Any]:
        found = next((entry for entry in self.store.records(self.identifier, "log") if entry["N"] == number), None)
        if found is None:
            raise ApiError(404, f"No log message {number} for {self.kind} {self.identifier}")
        return found

    def _write(self, comment: str, tags: list[str], name: str = "", version: int | None = None) -> dict[str, Any]:
        entry = {
            "comment": comment,
            "created": utc_now(),
            "issuer": USER,
            "filename": name,
            "file_version": version,
            "tag_names": tags,
        }
        return self._shown(self.store.add_record(self.identifier, "log", entry))

    def _autolog(self, comment: str) -> None:
        self._write(comment, [])

    def _shown(self, entry: dict[str, Any]) -> dict[str, Any]:
        logs, tags = ("logs", "tags") if self.kind == "superevent" else ("log", "tag")
        own = f"{self.own}{logs}/{entry['N']}"
        file = f"{self.own}files/{entry['filename']},{entry['file_version']}" if entry["filename"] else None
        return {**entry, "self": own, "tags": f"{own}/{tags}/", "file": file}

    # ---- tags ---------------------------------------------------------------------------------------------

    def add_tag(self, number: int, name: str) -> dict[str, Any]:
        """Tag a log message."""
        entry = self._entry(number)
        if name in entry["tag_names"]:
            raise ApiError(400, "Tag is already applied to this log message")
        entry["tag_names"].append(name)
        self.store.put_record(self.identifier, "log", entry)
        self._autolog(f"Tagged message {number}: {name}")
        return {"name": name, "displayName": name, "self": f"{self._shown(entry)['tags']}{name}"}

    def remove_tag(self, number: int, name: str) -> None:
        """Untag a log message."""
        entry = self._entry(number)
        if name not in entry["tag_names"]:
            raise ApiError(404, f"No tag {name} on log message {number}")
        entry["tag_names"].remove(name)
        self.store.put_record(self.identifier, "log", entry)
        self._autolog(f"Removed tag {name} from message {number}")

    # ---- files --------------------------------------------------------------------------------------------

    def files(self) -> list[dict[str, Any]]:
        """Return all files: each version as ``name,version``, and once the bare name, which stands for the newest."""
        names = []
        for name, version in self.store.file_versions(self.identifier):
            names += [name] if version == 0 else []
            names.append(f"{name},{version}")
        return [{"filename": name, "file": f"{self.own}files/{name}"} for name in names]

    def file(self, name: str) -> bytes:
        """Return the content of ``name`` (newest) or ``name,version``."""
        bare, comma, version = name.rpartition(",")
        if comma and not (version.isascii() and version.isdigit() and len(version) < 9):
            raise ApiError(404, f"File {name} not found")
        return self.store.file(self.identifier, bare if comma else name, int(version) if comma else None)
