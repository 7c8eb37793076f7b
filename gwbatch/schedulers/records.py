"""Records of the jobs in a batch system: one per attempt, and the table that holds them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gwbatch.clock import Clock, SystemClock
from gwbatch.model import JobState, JobStatus, Remedy

MISSES = 2  # consecutive answers that do not include a job, after which it is lost
KEEP_ENDED = 600.0  # s to keep the record of an ended job that nobody asks about
KEEP_OPEN = 86400.0  # s to keep that of an unfinished one


@dataclass(frozen=True)
class JobRecord:
    """What is known about one attempt, or what one answer of the batch system says about it.

    Attributes
    ----------
    native_id : str
        The batch system's own name for the job.
    directory : str
        The job directory, where known.
    started, finished : float or None
        Unix time in seconds.
    sudden : bool
        Whether an ended job was cut off, so that no result can be expected any more.
    requeued : float
        Unix time at which the job was requeued; files from before that are ignored.
    ended : float or None
        Unix time at which the batch system first reported the end of a job whose result is not visible yet.
    event_time : float
        Unix time of the newest event; older ones, which come late or twice, are ignored unless they end the job.
    learned : float
        When the newest information arrived, in s of the clock's steady time, because somebody may set the wall clock.
    """

    key: str
    native_id: str = ""
    directory: str = ""
    state: JobState = JobState.QUEUED
    reason: str = ""
    remedy: Remedy = Remedy.WAIT
    host: str = ""
    cores: int | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    sudden: bool = False
    requeued: float = 0.0
    ended: float | None = None
    event_time: float = 0.0
    learned: float = 0.0

    def report(self) -> JobStatus:
        """Return the record as the status that every scheduler reports."""
        remedy = self.remedy if self.state is JobState.HELD else Remedy.WAIT
        return JobStatus(
            self.key, self.state, self.native_id, self.reason, self.host, self.cores, self.started, self.finished,
            self.exit_code, remedy,
        )  # fmt: skip

    @property
    def age(self) -> tuple[int, ...]:
        """The numbers in the native id, a sort key that puts the older job first."""
        return tuple(int(digits) for digits in re.findall(r"\d+", self.native_id))


_RENAMED = {"told": "event_time", "seen": "learned"}  # as earlier versions saved them


def restored(values: Mapping[str, Any]) -> JobRecord:
    """Return a record from its saved form.

    Raises
    ------
    TypeError, ValueError, KeyError
        When it is corrupt.
    """
    record = JobRecord(**{_RENAMED.get(name, name): value for name, value in values.items()})
    return replace(record, state=JobState(record.state), remedy=Remedy(record.remedy))


class JobRecords:
    """The records of a dispatcher's jobs by native id, and which of them is the current one for each key.

    Attributes
    ----------
    changed : bool
        Whether there is something to save.
    doubled : bool
        Whether a second job appeared with the key of one that is unfinished.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._by_id: dict[str, JobRecord] = {}
        self._current: dict[str, str] = {}
        self._misses: dict[str, int] = {}
        self.changed = self.doubled = False

    def __iter__(self) -> Iterator[JobRecord]:
        return iter(list(self._by_id.values()))

    def current(self, key: str) -> JobRecord | None:
        """Return the current record for a key."""
        record = self._by_id.get(self._current.get(key, ""))
        return record if record is not None and record.key == key else None

    def of(self, native_id: str) -> JobRecord | None:
        """Return the record of a native id."""
        return self._by_id.get(native_id)

    def begin(self, record: JobRecord) -> None:
        """Add a job and make it the current one for its key, unless that has an unfinished job already."""
        under_way = self.current(record.key)
        if under_way is None or under_way.state.final:
            self.choose(record)
        else:
            self.update(record)
            self.doubled = True

    def choose(self, record: JobRecord) -> None:
        """Store a record and make it the current one for its key."""
        self._current[record.key] = _id(record)
        self.update(record)

    def update(self, record: JobRecord) -> None:
        """Store a record without changing which one is current for its key."""
        self._by_id[_id(record)] = record
        self.changed = True

    def put(self, record: JobRecord, instead_of: JobRecord | None = None) -> bool:
        """Store the current record for a key, and return whether it was accepted.  A final state is never changed.

        Parameters
        ----------
        instead_of : JobRecord or None
            The record from which the new one was derived; if that has changed meanwhile, the new one is rejected.
        """
        known = self.current(record.key)
        if (instead_of is not None and known != instead_of) or (known is not None and known.state.final):
            return False
        self.choose(record)
        return True

    def missed(self, key: str) -> bool:
        """Count one more answer that did not include the job, and return whether the job is now lost."""
        self._misses[key] = self._misses.get(key, 0) + 1
        if self._misses[key] < MISSES:
            return False
        del self._misses[key]
        return True

    def found(self, key: str) -> None:
        """Note that an answer included the job."""
        self._misses.pop(key, None)

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Drop the records of other jobs once they are older than `KEEP_ENDED` or `KEEP_OPEN`."""
        now = self._clock.steady()
        for native_id, record in list(self._by_id.items()):
            if record.key not in keys and now - record.learned > (KEEP_ENDED if record.state.final else KEEP_OPEN):
                del self._by_id[native_id]
                if self._current.get(record.key) == native_id:
                    del self._current[record.key]
                self.changed = True

    def saved(self) -> list[dict[str, Any]]:
        """Return all records, for a JSON file."""
        return [asdict(record) for record in self._by_id.values()]

    def restore(self, records: Iterable[JobRecord]) -> None:
        """Add the saved records."""
        for record in records:
            # The saved steady time is that of another process, and means nothing here.
            self.begin(replace(record, learned=self._clock.steady()))
        self.changed = False


def _id(record: JobRecord) -> str:
    return record.native_id or f"unknown {record.key}"
