"""The Slurm backend: the key in a job's comment, one query for all jobs, and the jobs' own files.

`controller` talks to slurmctld (pyslurm or the commands), `states` interprets its answers, and `scheduler` combines
them.
"""

from __future__ import annotations

from gwbatch.schedulers.slurm.scheduler import SlurmScheduler, batch_script

__all__ = ["SlurmScheduler", "batch_script"]
