"""What a batch job may see of the dispatcher's environment: what the profile names, and no credentials."""

from __future__ import annotations

import os
import re

from gwbatch.config.profile import SchedulerSettings
from gwbatch.errors import ConfigError

_CREDENTIAL = re.compile(r"token|passw|secret|credential|x509|proxy|api_?key", re.IGNORECASE)


# What the commands that submit a job need, and what a job on a shared file system may have: no credentials.
_SUBMITTING = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF", "LD_LIBRARY_PATH")


def submit_environment(settings: SchedulerSettings) -> dict[str, str]:
    """The environment of a command that hands its own on to the job."""
    return {name: os.environ[name] for name in _SUBMITTING if name in os.environ} | job_environment(settings)


def job_environment(settings: SchedulerSettings) -> dict[str, str]:
    """The explicit environment of a batch job.

    Raises
    ------
    ConfigError
        When the profile would send a credential to the nodes.
    """
    found = {name: os.environ[name] for name in settings.forward if name in os.environ}
    chosen = {**found, **settings.environment}
    for name in {*settings.forward, *settings.environment}:
        if _CREDENTIAL.search(name):
            raise ConfigError(
                f"scheduler.forward or scheduler.environment names {name}, which looks like a credential. "
                "Jobs need none: remove it from the site profile."
            )
    if "GWBATCH_KILL_JOB_AT" in os.environ:
        chosen["GWBATCH_KILL_AT"] = os.environ["GWBATCH_KILL_JOB_AT"]
    return chosen
