"""HTCondor: submissions with the key in the job ad, one shared event log, a slow reconciling question.

`schedd` talks to the queue (bindings or commands), `events` reads the log's text, `changes` says what events mean,
`event_log` follows the log, `holds` says what helps a held job, `scheduler` joins them.
"""

from __future__ import annotations

from gwbatch.schedulers.htcondor.scheduler import HTCondorScheduler, description

__all__ = ["HTCondorScheduler", "description"]
