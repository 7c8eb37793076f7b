"""What is known of the jobs in a batch system: one record an attempt, and the table of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gwbatch.clock import Clock, SystemClock
from gwbatch.model import JobState, JobStatus, Remedy

MISSES = 2  # answers in a row that do not know a job, after which it is lost
KEEP_ENDED = 600.0  # s for which an ended job that nobody asks about is remembered
KEEP_OPEN = 86400.0  # s for which one without an end is


@dataclass(frozen=True)
class JobRecord:
    """What is known of one attempt, or what one answer of the batch system says of it.

    Attributes
    ----------
    native_id : str
        The batch system's own name for the job.
    directory : str
        The job directory, where known.
    started, finished : float or None
        Unix time in seconds.
    sudden : bool
        Of an ended job: no result can be expected to appear any more.
    requeued : float
        Unix time at which it was put back into the queue: what its files said before does not count.
    ended : float or None
        Unix time since which the batch system says that it ended, while its result is not to be seen yet.
    event_time : float
        Unix time of the newest event; older ones that come late or again change nothing.
    learned : float
        When we learned the newest of it, in s of the clock's steady time: somebody may set the other one.
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
        """Return the record in the words of every scheduler."""
        remedy = self.remedy if self.state is JobState.HELD else Remedy.WAIT
        return JobStatus(
            self.key, self.state, self.native_id, self.reason, self.host, self.cores, self.started, self.finished,
            self.exit_code, remedy,
        )  # fmt: skip

    @property
    def age(self) -> tuple[int, ...]:
        """Sorts records by the numbers in the native id: the older job comes first."""
        return tuple(int(digits) for digits in re.findall(r"\d+", self.native_id))


_RENAMED = {"told": "event_time", "seen": "learned"}  # as earlier versions saved them


def restored(values: Mapping[str, Any]) -> JobRecord:
    """Read a record as it was saved.

    Raises
    ------
    TypeError, ValueError, KeyError
        When it is damaged.
    """
    record = JobRecord(**{_RENAMED.get(name, name): value for name, value in values.items()})
    return replace(record, state=JobState(record.state), remedy=Remedy(record.remedy))


class JobRecords:
    """The records of a dispatcher's jobs, by native id, and which of them a key means.

    Attributes
    ----------
    changed : bool
        Whether there is something to save.
    doubled : bool
        Whether a second job was seen with the key of one that is still in the queue.
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
        """Return what is known of the job that `key` means."""
        record = self._by_id.get(self._current.get(key, ""))
        return record if record is not None and record.key == key else None

    def of(self, native_id: str) -> JobRecord | None:
        """Return what is known of a job by its native id."""
        return self._by_id.get(native_id)

    def begin(self, record: JobRecord) -> None:
        """Add a job; a second one with the same key does not replace the first while that is unfinished."""
        under_way = self.current(record.key)
        if under_way is None or under_way.state.final:
            self.choose(record)
        else:
            self.update(record)
            self.doubled = True

    def choose(self, record: JobRecord) -> None:
        """Note a job that is, from now on, the one that its key means."""
        self._current[record.key] = _id(record)
        self.update(record)

    def update(self, record: JobRecord) -> None:
        """Note what is known of a job, whether or not its key means it."""
        self._by_id[_id(record)] = record
        self.changed = True

    def put(self, record: JobRecord, instead_of: JobRecord | None = None) -> bool:
        """Note what is known of a key's job; whether that was taken.  An end is never taken back.

        Parameters
        ----------
        instead_of : JobRecord or None
            What it was concluded from: when that has changed meanwhile, the conclusion is void.
        """
        known = self.current(record.key)
        if (instead_of is not None and known != instead_of) or (known is not None and known.state.final):
            return False
        self.choose(record)
        return True

    def missed(self, key: str) -> bool:
        """Count one more answer that did not know the job, and return whether it is lost by now."""
        self._misses[key] = self._misses.get(key, 0) + 1
        if self._misses[key] < MISSES:
            return False
        del self._misses[key]
        return True

    def found(self, key: str) -> None:
        """Note that an answer knew the job."""
        self._misses.pop(key, None)

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Drop jobs that nobody has asked about for long."""
        now = self._clock.steady()
        for native_id, record in list(self._by_id.items()):
            if record.key not in keys and now - record.learned > (KEEP_ENDED if record.state.final else KEEP_OPEN):
                del self._by_id[native_id]
                if self._current.get(record.key) == native_id:
                    del self._current[record.key]
                self.changed = True

    def saved(self) -> list[dict[str, Any]]:
        """Return everything, for a JSON file."""
        return [asdict(record) for record in self._by_id.values()]

    def restore(self, records: Iterable[JobRecord]) -> None:
        """Take over what was saved."""
        for record in records:
            self.begin(replace(record, learned=self._clock.steady()))  # the steady time of another process says nothing
        self.changed = False


def _id(record: JobRecord) -> str:
    return record.native_id or f"unknown {record.key}"
