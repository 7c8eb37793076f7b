"""Communication with the qmaster through qsub, qstat, qdel, qmod, qrls and qacct."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from gwbatch.schedulers.base import SchedulerBusy, SchedulerError
from gwbatch.schedulers.environment import plain_environment
from gwbatch.schedulers.timeouts import CommandRunner
from gwbatch_gridengine.states import RESCHEDULED

_CELL = ("SGE_ROOT", "SGE_CELL", "SGE_CLUSTER_NAME", "SGE_QMASTER_PORT", "SGE_EXECD_PORT")

# Messages of permanent refusals, which recur until somebody changes the profile or the cluster.  Any other failure
# counts as no answer, since the job may have been submitted nevertheless.
_REFUSED = re.compile(
    r"job( was)? rejected|unknown resource|can't resolve hostname|not allowed in objectname|is not a \w+ value"
    r"|invalid priority|unknown option",
    re.IGNORECASE,
)
_GONE = re.compile(r"does not exist|already in deletion|not found", re.IGNORECASE)


@dataclass(frozen=True)
class Listed:
    """A job as qstat lists it, with its full name."""

    native_id: str
    name: str
    letters: str
    host: str


@dataclass(frozen=True)
class Accounted:
    """How a job ended, according to the accounting."""

    name: str
    host: str
    failed: int
    explanation: str
    exit_status: int


class QmasterCommands:
    """Runs the commands, and kills those that the qmaster does not answer; on their own they would wait two minutes."""

    def __init__(self, seconds: float) -> None:
        # One runner per purpose, so that a slow query does not delay a submission.
        self._submitting, self._asking, self._acting = (CommandRunner("Grid Engine", seconds) for _ in range(3))

    def submit(self, script: str) -> str:
        """Submit a job script; return the job's number."""
        code, output, errors = self._submitting.run("qsub", "-terse", text=script, environment=_environment())
        if code != 0:
            raise _refusal(errors or output)
        if not output.strip().isdecimal():
            raise SchedulerBusy(f"qsub succeeded but printed no job number: {_first_line(output + errors)}.")
        return output.strip()

    def listed(self) -> list[Listed]:
        """Return all waiting and running jobs of this user."""
        root = self._answer("qstat", "-r", "-xml")
        # Both lists must be there, even if empty; without them qstat itself may be broken.
        if root.find("queue_info") is None or root.find("job_info") is None:
            raise SchedulerBusy("Cannot read the answer of qstat: its job lists are missing.")
        return [_listed(job) for job in root.iter("job_list")]

    def trouble(self, native_id: str) -> str:
        """Return why a job is in error state; empty if Grid Engine does not say."""
        root = self._answer("qstat", "-j", native_id, "-xml")
        return "; ".join(message.text for message in root.iter("QIM_message") if message.text)

    def accounted(self, native_id: str) -> Accounted | None:
        """Return how a job ended; None if the accounting has no record of it, or its last run was rescheduled."""
        code, output, errors = self._asking.run("qacct", "-j", native_id, environment=_environment())
        if code != 0:
            if _GONE.search(errors) or "no such file" in errors.lower():
                return None
            raise SchedulerBusy(f"qacct failed: {_first_line(errors or output)}.")
        last = output.rpartition("=====")[2]  # numbers are reused, and a job may have run more than once
        fields = dict(re.findall(r"^(\w+)[ \t]+(.*?)[ \t]*$", last, re.MULTILINE))
        failed, _, explanation = fields.get("failed", "").partition(":")
        status = re.match(r"\d+", fields.get("exit_status", ""))
        if not failed.strip().isdecimal() or status is None or int(failed) == RESCHEDULED:
            return None
        name, host = fields.get("jobname", ""), fields.get("hostname", "")
        return Accounted(name, host, int(failed), explanation.strip(), int(status[0]))

    def delete(self, native_id: str) -> None:
        """Delete a job."""
        self._act("qdel", native_id)

    def release(self, native_id: str) -> None:
        """Clear a job's error state and its hold."""
        self._act("qmod", "-cj", native_id)
        self._act("qrls", native_id)

    def _act(self, *command: str) -> None:
        code, output, errors = self._acting.run(*command, environment=_environment())
        said = output + errors  # the commands print errors on standard output
        # qmod exits with 1 whether it cleared an error or there was none.
        if code != 0 and not _GONE.search(said) and "error state" not in said:
            raise SchedulerBusy(f"{command[0]} failed: {_first_line(said)}.")

    def _answer(self, *command: str) -> etree._Element:
        code, output, errors = self._asking.run(*command, environment=_environment())
        if code != 0:
            raise SchedulerBusy(f"{command[0]} failed: {_first_line(errors or output)}.")
        try:
            return etree.fromstring(output.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
        except etree.XMLSyntaxError as error:
            raise SchedulerBusy(f"Cannot parse the answer of {command[0]} as XML: {error}.") from error


def _environment() -> Mapping[str, str]:
    return plain_environment() | {name: os.environ[name] for name in _CELL if name in os.environ}


def _listed(job: etree._Element) -> Listed:
    def get(name: str) -> str:
        return job.findtext(name) or ""

    host = get("queue_name").rpartition("@")[2]
    return Listed(get("JB_job_number"), get("full_job_name") or get("JB_name"), get("state"), host)


def _refusal(text: str) -> SchedulerError:
    said = _first_line(text).removeprefix("Unable to run job: ")
    if _REFUSED.search(text):
        return SchedulerError(f"Grid Engine refuses the job: {said}.")
    return SchedulerBusy(f"Grid Engine could not take the job: {said}.")


def _first_line(text: str) -> str:
    """Return the error message of a command: its first line, since the last only says that the command exits."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "no explanation"
