"""The types that several packages share: job states and requests, decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gwbatch.config.profile import Resources


class JobState(StrEnum):
    """The state of a job, whatever the scheduler calls it."""

    WAITING = "WAITING"  # decided, not yet submitted to a scheduler
    QUEUED = "QUEUED"  # the scheduler has it, but it has not started
    RUNNING = "RUNNING"  # its first instruction has been seen
    HELD = "HELD"  # the scheduler holds it and gives a reason
    DONE = "DONE"  # ended with a complete result.json
    FAILED = "FAILED"  # ended without a valid result
    LOST = "LOST"  # the scheduler answered, but no longer knows it
    UNKNOWN = "UNKNOWN"  # no answer; never taken for an end
    CANCELLED = "CANCELLED"  # cancelled by gwbatch

    @property
    def final(self) -> bool:
        """Whether nothing more can happen to this attempt."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.DONE, JobState.FAILED, JobState.LOST, JobState.CANCELLED})


class Remedy(StrEnum):
    """The remedy for a held job that its scheduler suggests."""

    WAIT = "WAIT"  # somebody holds it on purpose
    RELEASE = "RELEASE"  # a release may help
    GIVE_UP = "GIVE_UP"  # a release will not help, but another attempt may
    FAIL = "HOPELESS"  # another attempt will not help either


@dataclass(frozen=True)
class JobRequest:
    """One attempt at a computation, ready for a scheduler: files in, files out.

    Attributes
    ----------
    key : str
        Permanent name of the attempt (``G487/localize/1``), also kept in the scheduler's own record.
    kind : str
        Kind of computation (`gwbatch.jobs`).
    queue : str
        ``openmp`` (whole node) or ``general`` (one core).
    directory : Path
        Holds ``job.json`` and the inputs; gets the outputs, ``stdout``, ``stderr`` and ``result.json``.
    inputs, outputs : tuple of str
        File names relative to `directory` that travel to and from the node.
    priority : int
        A larger number starts first.
    avoid : tuple of str
        Hosts to avoid because earlier attempts failed there.
    """

    key: str
    kind: str
    queue: str
    directory: Path
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    priority: int = 0
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobStatus:
    """What a scheduler knows about one attempt.

    Attributes
    ----------
    native_id : str
        The scheduler's own name for the job.
    reason : str
        Explanation of HELD, FAILED, LOST and UNKNOWN.
    started, finished : float or None
        Unix time in seconds.
    retryable : bool
        Whether another attempt makes sense if this one ended without a result.
    """

    key: str
    state: JobState
    native_id: str = ""
    reason: str = ""
    host: str = ""
    cores: int | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    remedy: Remedy = Remedy.WAIT
    retryable: bool = True


class Action(StrEnum):
    """The kind of a decision, as stored in the ledger."""

    NONE = "none"
    DROP = "drop"
    # about a superevent
    CREATE = "create"
    ADD_EVENT = "add_event"
    UPDATE = "update"
    LABEL = "label"
    PIPELINE_PREFERRED = "pipeline_preferred"
    NOTICE = "notice"
    NO_NOTICE = "no_notice"
    # about an external event
    EXTERNAL_CREATE = "external_create"
    EXTERNAL_REPLACE = "external_replace"
    EXTERNAL_ADOPT = "external_adopt"
    NOT_GRB = "not_grb"
    COINCIDENCE = "coincidence"
    COINCIDENCE_END = "coincidence_end"
    RAVEN_ALERT = "raven_alert"
    # operators' orders
    RELEASE_JOB = "job_release"
    CANCEL_JOB = "job_cancel"
    RETRY_JOB = "job_retry"
    RETRY = "retry"


_ABOUT_EXTERNAL = frozenset(
    {
        Action.EXTERNAL_CREATE, Action.EXTERNAL_REPLACE, Action.EXTERNAL_ADOPT, Action.NOT_GRB, Action.COINCIDENCE,
        Action.COINCIDENCE_END, Action.RAVEN_ALERT,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """What was decided about one message, and why.

    Attributes
    ----------
    action : str
        An `Action`, or an action that a plug-in defines.
    superevent : str or None
        Local key of the superevent concerned.
    detail : dict
        Details of the action, e.g. ``{"label": "EM_READY"}``.
    """

    action: str
    superevent: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def concerns_external(self) -> bool:
        """Whether it changes an external event, rather than a superevent."""
        return self.action in _ABOUT_EXTERNAL

    def as_dict(self) -> dict[str, Any]:
        """Return one JSON-ready mapping."""
        return {"superevent": self.superevent, "action": self.action, **self.detail, "reason": self.reason}
