"""The spool listener, which takes messages from files in a directory, for replay and for sources without Kafka.

Rename complete files into the directory; names that begin with a dot or end in ``.part`` are ignored.  ``*.jsonl``
holds one message per line and ``*.json`` one message, ``{"topic": ..., "payload": ...}`` or a bare IGWN alert.
``*.xml`` is a VOEvent.  A file moves to ``done/`` when all its messages are stored, or to ``refused/`` if at least one
of them was refused.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from gwbatch.clock import Clock, SystemClock
from gwbatch.config.profile import ListenerSettings
from gwbatch.errors import BadInput, ConfigError
from gwbatch.failpoints import hit
from gwbatch.handlers.recorded import read_message
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Ledger, Transaction, messages, offsets
from gwbatch.ledger.messages import Incoming
from gwbatch.ledger.offsets import Position

log = logging.getLogger(__name__)

WAIT = 0.1  # s between checks of an empty directory
BATCH = 500  # messages in one transaction


class SpoolListener:
    """Takes messages from the files in one directory, in the order of the file names."""

    def __init__(self, name: str, settings: ListenerSettings, ledger: Ledger, registry: Registry, clock: Clock) -> None:
        if not settings.directory:
            raise ConfigError(f"The spool listener {name} has no directory: set listeners.{name}.directory.")
        self.connected = True
        self.note: str | None = None
        self._name = name
        self._limit = settings.max_bytes
        self._ledger = ledger
        self._registry = registry
        self._clock = clock
        self._directory = Path(settings.directory)
        self._unreadable: set[str] = set()
        for folder in ("done", "refused"):
            (self._directory / folder).mkdir(parents=True, exist_ok=True)

    def step(self) -> int:
        waiting = sorted(
            path
            for path in self._directory.iterdir()
            if path.is_file() and path.name[0] != "." and path.suffix != ".part" and path.name not in self._unreadable
        )
        if not waiting:
            time.sleep(WAIT)
            return 0
        try:
            return self._take(waiting[0])
        except OSError as error:
            # A file that cannot be read or moved must not hold up the others.
            self.note = f"{waiting[0].name}: {error.strerror}"
            log.error("cannot read or move %s: %s", waiting[0], error)
            self._unreadable.add(waiting[0].name)
            return 0

    def close(self) -> None:
        """Do nothing, because there is no connection to close."""

    def _take(self, path: Path) -> int:
        """Store all messages of a file; after a crash, continue at the position in the ledger."""
        with path.open("rb") as stream:
            place = f"file:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        stored = offsets.stored(self._ledger.connection, self._name).get((place, 0))
        begin = stored.next_offset if stored else 0
        refused = False
        count = 0
        parts = islice(enumerate(self._parts(path)), begin, None)
        while batch := list(islice(parts, BATCH)):
            with self._ledger.transaction() as tx:
                for _number, (part, size) in batch:
                    refused |= not self._receive(tx, part, size, path)
                position = Position(place, 0, 0, batch[-1][0] + 1)
                offsets.put(tx, self._name, position, self._clock.now())
                hit("listener.before_commit")
            hit("listener.after_commit")
            count += len(batch)
        path.rename(self._directory / ("refused" if refused else "done") / path.name)
        return count

    def _parts(self, path: Path) -> Iterator[tuple[bytes, int]]:
        """Yield the messages of a file with their sizes, but only the beginning of a message that is too large."""
        if path.suffix != ".jsonl":
            with path.open("rb") as stream:
                yield stream.read(self._limit + 1), path.stat().st_size
            return
        with path.open("rb") as stream:
            while line := stream.readline(self._limit + 1):
                size = len(line)
                while not line.endswith(b"\n") and (more := stream.readline(self._limit)):
                    size += len(more)
                    if more.endswith(b"\n"):
                        break
                if line.strip():
                    yield line, size

    def _receive(self, tx: Transaction, part: bytes, size: int, path: Path) -> bool:
        now, lanes, refused = self._clock.now(), ["general"], None
        topic, payload = "spool", part
        if size > self._limit:
            refused = f"a message of {size} bytes in {path.name}, above the limit of {self._limit}"
        else:
            try:
                topic, payload = read_message(part, path.suffix)
                lanes = self._registry.lanes_for(topic)
                if not lanes:
                    lanes, refused = ["general"], f"no handler for the topic {topic} of {path.name}"
            except BadInput as error:
                refused = f"{path.name}: {error}"
        offset = messages.next_offset(tx, self._name, topic)
        messages.receive(tx, Incoming(self._name, topic, 0, offset, payload), lanes, now, refused=refused)
        if refused:
            log.error("dead letter: %s", refused)
        return refused is None


def take_file(path: Path, ledger: Ledger, registry: Registry, source: str = "replay") -> int:
    """Put the messages of one file into the ledger; the file stays where it is."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        listener = SpoolListener(
            source, ListenerSettings(kind="spool", directory=folder), ledger, registry, SystemClock()
        )
        return listener.step()
