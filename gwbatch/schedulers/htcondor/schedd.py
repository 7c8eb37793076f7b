"""Access to the schedd, through the ``htcondor2`` bindings or through the commands on PATH."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

from gwbatch.errors import ConfigError
from gwbatch.schedulers.base import SchedulerBusy, SchedulerError
from gwbatch.schedulers.timeouts import CallTimeout, CommandRunner, last_line

Ad = Mapping[str, Any]
Answer = TypeVar("Answer")
Action = Literal["remove", "release", "hold"]

WANTED = (
    "ClusterId", "ProcId", "JobStatus", "GwbatchKey", "HoldReason", "HoldReasonCode", "RemoteHost", "LastRemoteHost",
    "ExitCode", "ExitBySignal", "ExitSignal", "EnteredCurrentStatus", "JobStartDate", "CompletionDate", "RemoveReason",
    "GwbatchRole", "GwbatchParcel", "Iwd",
)  # fmt: skip

log = logging.getLogger(__name__)

# A job that breaks the submit language or a submit requirement of the schedd would be refused again.  Any other failure
# (limits, disks, a commit whose reply was lost) counts as no answer, because the job may be in the queue.
_REFUSED = re.compile(r"parse error|submit[ _]requirement|I don't know about the", re.IGNORECASE)


class Schedd(Protocol):
    """The schedd's queue.  Every call raises `SchedulerBusy` if there is no answer."""

    def submit(self, description: str) -> str:
        """Submit one job; return ``cluster.proc``.  Raises `SchedulerError` if it is permanently refused."""
        ...

    def queue(self, constraint: str) -> list[Ad]:
        """Return the ads of the queued jobs that match the constraint."""
        ...

    def act(self, action: Action, constraint: str) -> None:
        """Remove, release or hold the jobs that match the constraint."""
        ...


def open_schedd(bindings: str, seconds: float) -> Schedd:
    """Open the connection to the schedd that the profile asks for.

    ``auto`` chooses the bindings unless the pool's commands are on PATH and belong to another release.  Bindings of
    release 25 cannot authenticate to a schedd of release 23 through the file system, so every submission would fail.

    Raises
    ------
    ConfigError
        When the schedd cannot be reached in that way.
    """
    missing = [name for name in ("condor_submit", "condor_q", "condor_rm") if shutil.which(name) is None]
    if bindings in ("auto", "python"):
        try:
            bound = BoundSchedd(seconds)
        except ImportError as error:
            if bindings == "python":
                raise ConfigError(
                    f"scheduler.bindings = 'python', but htcondor2 cannot be imported ({error}): "
                    "pip install 'gwbatch[htcondor]', or set it to 'cli'."
                ) from error
        else:
            ours, theirs = release_of(bound.version()), pool_release(seconds)
            if bindings == "python" or missing or theirs in ("", ours):
                return bound
            log.warning("htcondor2 has release %s but the pool has %s; using the commands", ours, theirs)
    if missing:
        raise ConfigError(
            f"Cannot reach HTCondor: {', '.join(missing)} not on PATH"
            + ("." if bindings == "cli" else ", and htcondor2 cannot be imported. pip install 'gwbatch[htcondor]'.")
        )
    return CommandSchedd(seconds)


def pool_release(seconds: float) -> str:
    """Return the release of the commands on PATH, which is the schedd's, or an empty string if they do not answer."""
    try:
        return release_of(CommandRunner("HTCondor", seconds).run("condor_version")[1])
    except SchedulerBusy:
        return ""


def release_of(version: str) -> str:
    """Return ``25`` for ``$CondorVersion: 25.14.1 2026-10-01 ...``."""
    found = re.search(r"CondorVersion: (\d+)\.", version)
    return found[1] if found else ""


def refusal(text: str) -> SchedulerError:
    """Return the error for a failed submission: permanently refused, or outcome unknown."""
    reason = last_line(text)
    if _REFUSED.search(text):
        return SchedulerError(f"HTCondor refused the job: {reason}.")
    return SchedulerBusy(f"HTCondor could not accept the job: {reason}.")


class BoundSchedd:
    """The schedd through the ``htcondor2`` bindings."""

    def __init__(self, seconds: float) -> None:
        import htcondor2

        self._module: Any = htcondor2
        # Three separate ones, so that a slow query does not delay a submission.
        self._submitting, self._asking, self._acting = (CallTimeout("schedd", seconds) for _ in range(3))

    def version(self) -> str:
        """Return the version of the bindings."""
        return str(self._module.version())

    def submit(self, description: str) -> str:
        def call() -> str:
            result = self._schedd().submit(self._module.Submit(description))
            return f"{result.cluster()}.{result.first_proc()}"

        try:
            return self._submitting.ask(call)
        except self._module.HTCondorException as error:
            raise refusal(str(error)) from error

    def queue(self, constraint: str) -> list[Ad]:
        return self._ask(self._asking, lambda schedd: [dict(ad) for ad in schedd.query(constraint, list(WANTED))])

    def act(self, action: Action, constraint: str) -> None:
        verb = getattr(self._module.JobAction, action.capitalize())
        chosen = self._module.classad.ExprTree(constraint)
        totals = self._ask(self._acting, lambda schedd: dict(schedd.act(verb, chosen)))
        if refused := int(totals.get("TotalError", 0)) + int(totals.get("TotalPermissionDenied", 0)):
            raise SchedulerBusy(f"The schedd refused to {action} {refused} job(s) with {constraint}.")

    def _schedd(self) -> Any:
        return self._module.Schedd()  # created for each call, because a restarted schedd has a new address

    def _ask(self, patience: CallTimeout, call: Callable[[Any], Answer]) -> Answer:
        try:
            return patience.ask(lambda: call(self._schedd()))
        except self._module.HTCondorException as error:
            raise SchedulerBusy(f"The schedd does not answer: {last_line(str(error))}.") from error


class CommandSchedd:
    """The schedd through condor_submit, condor_q, condor_rm, condor_release and condor_hold."""

    def __init__(self, seconds: float) -> None:
        self._submitting, self._asking, self._acting = (CommandRunner("HTCondor", seconds) for _ in range(3))

    def submit(self, description: str) -> str:
        code, output, errors = self._submitting.run("condor_submit", "-terse", "-", text=description)
        job = re.match(r"\s*(\d+\.\d+)\s*-\s*\d+\.\d+", output)
        if code != 0:
            raise refusal(errors or output)
        if job is None:
            raise SchedulerBusy(f"condor_submit succeeded but returned no job id: {last_line(output + errors)}.")
        return job[1]

    def queue(self, constraint: str) -> list[Ad]:
        ads = self._ads("condor_q", "-allusers", "-constraint", constraint, "-json", "-attributes", ",".join(WANTED))
        if not ads:
            # condor_q prints nothing for an empty queue, but so does a broken one.
            code, output, errors = self._asking.run("condor_q", "-allusers", "-totals")
            if code != 0 or "jobs" not in output:
                raise SchedulerBusy(f"condor_q gave no answer: {last_line(errors)}.")
        return ads

    def act(self, action: Action, constraint: str) -> None:
        command = {"remove": "condor_rm", "release": "condor_release", "hold": "condor_hold"}[action]
        code, output, errors = self._acting.run(command, "-constraint", constraint)
        if code != 0 and "There are no jobs" not in errors + output:
            raise SchedulerBusy(f"{command} failed: {last_line(errors or output)}.")

    def _ads(self, *command: str) -> list[Ad]:
        code, output, errors = self._asking.run(*command)
        if code != 0:
            raise SchedulerBusy(f"{command[0]} failed: {last_line(errors or output)}.")
        if not output.strip():
            return []
        try:
            ads: Sequence[Any] = json.loads(output)
        except ValueError:
            raise SchedulerBusy(f"{command[0]} did not return JSON: {output[:80]!r}.") from None
        if not isinstance(ads, list) or not all(isinstance(ad, dict) for ad in ads):
            raise SchedulerBusy(f"{command[0]} did not return a list of jobs.")
        return list(ads)


def constraint(**attributes: str) -> str:
    """Return a ClassAd expression that matches jobs with these attributes."""
    return " && ".join(f"{name} == {json.dumps(value, ensure_ascii=False)}" for name, value in attributes.items())
