"""A scheduler that runs some queues on the submit host itself and the others in a batch system.

On a small cluster, a one-second job may wait behind localizations that occupy whole nodes for a minute.  The jobs of a
queue with ``run_on = "local"`` in the site profile do not wait, because they are processes on the dispatcher's own
machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gwbatch.model import JobRequest, JobStatus
from gwbatch.schedulers.base import Scheduler
from gwbatch.schedulers.local import LocalScheduler


class RoutedScheduler:
    """Sends jobs to one of two schedulers, by their queue.

    Parameters
    ----------
    batch : Scheduler
        Takes the jobs of all other queues.
    local : LocalScheduler
        Takes those of `queues`; it knows for certain which jobs are its own.
    """

    def __init__(self, batch: Scheduler, local: LocalScheduler, queues: Collection[str]) -> None:
        self.name = batch.name
        self._batch, self._local = batch, local
        self._queues = frozenset(queues)

    def submit(self, request: JobRequest) -> str:
        return self._of(request).submit(request)

    def find(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        mine = self._local.find(keys)
        others = [key for key in keys if key not in mine]
        return {**(self._batch.find(others) if others else {}), **mine}

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        mine = [*self._local.find(keys)]
        others = [key for key in keys if key not in mine]
        return {**(self._batch.poll(others) if others else {}), **self._local.poll(mine)}

    def cancel(self, key: str) -> None:
        (self._local if self._local.find([key]) else self._batch).cancel(key)

    def release(self, key: str) -> None:
        if not self._local.find([key]):
            self._batch.release(key)

    def describe(self, request: JobRequest) -> str:
        return self._of(request).describe(request)

    def close(self) -> None:
        self._batch.close()
        self._local.close()

    def _of(self, request: JobRequest) -> Scheduler:
        return self._local if request.queue in self._queues else self._batch
