"""The types that several packages share: job states and requests, decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gwbatch.config.profile import Resources


class JobState(StrEnum):
    """Where a job stands, whatever the scheduler calls it."""

    WAITING = "WAITING"  # decided, not yet handed to a scheduler
    QUEUED = "QUEUED"  # the scheduler has it, it has not started
    RUNNING = "RUNNING"  # its first instruction has been seen
    HELD = "HELD"  # the scheduler keeps it back and gives a reason
    DONE = "DONE"  # ended, and its result.json is whole
    FAILED = "FAILED"  # ended without a valid result
    LOST = "LOST"  # the scheduler answered, and does not know it any more
    UNKNOWN = "UNKNOWN"  # no answer: never taken for an end
    CANCELLED = "CANCELLED"  # taken back by us

    @property
    def final(self) -> bool:
        """Whether nothing more can happen to this attempt."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.DONE, JobState.FAILED, JobState.LOST, JobState.CANCELLED})


class Remedy(StrEnum):
    """What helps a held job, in the opinion of its scheduler."""

    WAIT = "WAIT"  # somebody holds it back on purpose
    RELEASE = "RELEASE"  # it may go better the next time
    GIVE_UP = "GIVE_UP"  # it will not, but another attempt may
    FAIL = "HOPELESS"  # neither will another attempt


@dataclass(frozen=True)
class JobRequest:
    """One attempt at a computation, ready for a scheduler: files in, files out.

    Attributes
    ----------
    key : str
        Names the attempt permanently (``G487/localize/1``); travels in the scheduler's own record.
    kind : str
        Which computation (`gwbatch.jobs`).
    queue : str
        ``openmp`` (whole node) or ``general`` (one core).
    directory : Path
        Holds ``job.json`` and the inputs; gets the outputs, ``stdout``, ``stderr`` and ``result.json``.
    inputs, outputs : tuple of str
        File names relative to `directory` that travel to and from the node.
    priority : int
        Larger starts first.
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
    """What a scheduler knows of one attempt.

    Attributes
    ----------
    native_id : str
        The scheduler's own name for the job.
    reason : str
        In words, for HELD, FAILED, LOST and UNKNOWN.
    started, finished : float or None
        Unix time in seconds.
    retryable : bool
        Whether another attempt makes sense, of one that ended without a result.
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
    """What was decided; stored in the ledger."""

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
    # orders of people
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
        An `Action`, or a plug-in's own word.
    superevent : str or None
        Local key of the superevent concerned.
    detail : dict
        What the action carries, e.g. ``{"label": "EM_READY"}``.
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
