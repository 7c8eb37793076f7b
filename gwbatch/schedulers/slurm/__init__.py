"""Slurm: jobs with the key in their comment, one batched question for all, and the jobs' own files.

`controller` talks to slurmctld (pyslurm or the commands), `states` says what its words mean, `scheduler` joins them.
"""

from __future__ import annotations

from gwbatch.schedulers.slurm.scheduler import SlurmScheduler, batch_script

__all__ = ["SlurmScheduler", "batch_script"]
