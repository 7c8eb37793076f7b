"""A reader that follows the dispatcher's event log from a saved position, through rotation and corruption."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from gwbatch.clock import Clock, SystemClock
from gwbatch.jobs.result import write_json
from gwbatch.schedulers.htcondor.changes import Kind, follow, held, key_of
from gwbatch.schedulers.htcondor.events import LogEvent, complete, parse
from gwbatch.schedulers.records import JobRecord, JobRecords, restored

CHUNK = 2**20  # bytes read at once
GARBAGE = 2**16  # bytes without an end of event, above which they are skipped as corrupt
ROTATE = 64 * 2**20  # bytes above which a new log begins, as soon as no job is unfinished
SAVE_EVERY = 1.0  # s between two saves of the position

log = logging.getLogger(__name__)


class EventLog:
    """The records of the dispatcher's jobs according to the event log.

    The position and the records at that position are saved together.  After a crash, the later events are read again
    and lead to the same records.

    Parameters
    ----------
    path : Path
        The event log; it need not exist yet.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._memory = path.with_name("followed.json")
        self._clock = clock or SystemClock()
        self.records = JobRecords(self._clock)
        self._stream: IO[bytes] | None = None
        self._offset = 0
        self._rest = b""
        self._saved = float("-inf")
        self._closed = False
        self._remember()

    def read(self) -> None:
        """Process the events written since the last call."""
        if self._closed:
            return
        for events in self._new_events():
            now = self._clock.steady()
            for event in events:
                self._take(event, now)
        if self.records.changed and self._clock.steady() - self._saved >= SAVE_EVERY:
            self.save()

    def begin_anew_if_long(self) -> None:
        """Begin a new log if this one is long and no job is unfinished.  No submission may be in progress."""
        if self._offset > ROTATE and all(record.state.final for record in self.records):
            log.info("the event log %s has %d bytes and no unfinished job; starting another", self._path, self._offset)
            self._path.replace(self._path.with_suffix(".old"))

    def save(self) -> None:
        """Save the position and the records."""
        inode = None if self._stream is None else _inode(self._stream)
        position = {"inode": inode, "offset": self._offset - len(self._rest)}
        write_json(self._memory, {"version": 2, **position, "tracks": self.records.saved()})
        self.records.changed, self._saved = False, self._clock.steady()

    def close(self) -> None:
        """Save, and close the log."""
        if not self._closed:
            self.save()
        self._closed = True  # a late answer must not overwrite what the next dispatcher saves
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _take(self, event: LogEvent, now: float) -> None:
        known = self.records.of(event.job)
        if event.number == Kind.SUBMIT:
            key = key_of(event)
            # A new pool numbers its clusters from 1 again, so the same number with another key is another job.
            if key is not None and (known is None or known.key != key):
                self.records.begin(JobRecord(key, event.job, event_time=event.time, learned=now))
        elif known is not None:
            self.records.update(follow(known, event, now))

    def _new_events(self) -> Iterator[Iterator[LogEvent]]:
        while True:
            stream = self._open()
            if stream is None:
                return
            data = stream.read(CHUNK)
            if data:
                self._offset += len(data)
                whole = self._rest + data
                end = complete(whole)
                if end == 0 and len(whole) > GARBAGE:
                    log.warning("%s: skipping %d bytes without an event", self._path, len(whole))
                    end = len(whole)
                self._rest = whole[end:]
                self.records.changed = True
                yield parse(whole[:end])
            elif not self._moved_on(stream):
                return

    def _open(self) -> IO[bytes] | None:
        if self._stream is None:
            try:
                self._stream = self._path.open("rb")
            except FileNotFoundError:
                return None
            self._stream.seek(self._offset)
        return self._stream

    def _moved_on(self, stream: IO[bytes]) -> bool:
        """Return whether there is more to read, because the log was rotated or truncated since the last read."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return False
        rotated = status.st_ino != _inode(stream)
        if not rotated and status.st_size >= self._offset:
            return False
        if rotated and os.fstat(stream.fileno()).st_size > self._offset:
            return True  # the old file has grown meanwhile
        log.warning(
            "the event log %s was %s; reading it from the beginning", self._path, "rotated" if rotated else "truncated"
        )
        stream.close()
        self._stream, self._offset, self._rest = None, 0, b""
        return True

    def _remember(self) -> None:
        try:
            memory = json.loads(self._memory.read_text())
            records = [_restored(values) for values in memory["tracks"]]
            inode, offset = memory["inode"], int(memory["offset"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is corrupt (%s); reading the event log from the beginning", self._memory, error)
            return
        self.records.restore(records)
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return
        if status.st_ino == inode and status.st_size >= offset:
            self._offset = offset


def _restored(values: Mapping[str, Any]) -> JobRecord:
    if "job" not in values:
        return restored(values)
    first = dict(values)  # the format of version 1
    code, native_id = first.pop("code"), first.pop("job")
    was_held = held(first["reason"], code) if first["state"] == "HELD" else {}
    return restored({**first, "native_id": native_id, **was_held})


def _inode(stream: IO[bytes]) -> int:
    return os.fstat(stream.fileno()).st_ino
