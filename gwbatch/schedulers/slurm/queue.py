"""Slurm's view of this dispatcher's jobs, as records."""

from __future__ import annotations

from collections.abc import Mapping

from gwbatch.schedulers.records import JobRecord
from gwbatch.schedulers.slurm.controller import Controller
from gwbatch.schedulers.slurm.states import Row, interpret

REFUSED = "BadConstraints"

# Ends after which no result can be expected any more.
_SUDDEN = {"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE", "REVOKED"}


class SlurmQueue:
    """The jobs whose comment is the dispatcher's own prefix, followed by the key."""

    def __init__(self, controller: Controller, prefix: str) -> None:
        self._controller = controller
        self._prefix = prefix

    def submit(self, text: str, environment: Mapping[str, str]) -> str:
        return self._controller.submit(text, environment)

    def jobs(self) -> list[JobRecord]:
        ours = [row for row in self._controller.jobs() if row.comment.startswith(self._prefix)]
        reported = [(row, _record(row, row.comment.removeprefix(self._prefix))) for row in ours]
        # Slurm also lists submissions that it refused, which never became jobs.
        return [record for row, record in reported if not (row.reason == REFUSED and record.state.final)]

    def details(self, record: JobRecord) -> JobRecord | None:
        row = self._controller.job(record.native_id)
        if row is None:
            return None
        # A cluster that lost its state numbers its jobs from 1 again, so the number alone does not identify a job.
        if row.comment:
            same = row.comment == self._prefix + record.key
        else:
            same = bool(row.directory) and row.directory == record.directory
        return _record(row, record.key) if same else None

    def cancel(self, native_id: str) -> None:
        self._controller.cancel(native_id)

    def release(self, native_id: str) -> None:
        self._controller.release(native_id)


def _record(row: Row, key: str) -> JobRecord:
    state, reason, remedy = interpret(row)
    return JobRecord(
        key, row.native_id, row.directory, state, reason, remedy, row.nodes, row.cores, exit_code=row.exit_code,
        sudden=row.word in _SUDDEN,
    )  # fmt: skip
