"""The HTCondor backend: the key in the job ad, one shared event log, and a slow poll of the queue to reconcile.

`schedd` talks to the queue (bindings or commands), `events` parses the log's text, `changes` interprets the events,
`event_log` follows the log, `holds` knows the remedy for a held job, and `scheduler` combines them.
"""

from __future__ import annotations

from gwbatch.schedulers.htcondor.scheduler import HTCondorScheduler, description

__all__ = ["HTCondorScheduler", "description"]
