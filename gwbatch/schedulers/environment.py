"""The environments of batch jobs, of submit commands, and of a dispatcher that is itself a job.

A job gets the variables that the profile names and a few that every program needs, but no credentials.
"""

from __future__ import annotations

import os
import re

from gwbatch.config.profile import SchedulerSettings
from gwbatch.errors import ConfigError

_CREDENTIAL = re.compile(r"token|passw|secret|credential|x509|proxy|api_?key", re.IGNORECASE)


# What Slurm's commands need and a job on a shared file system may see; no credentials.
_PLAIN = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF", "LD_LIBRARY_PATH")
# Where the dispatcher itself finds its tokens.
_RESIDENT = ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "X509_USER_PROXY", "BEARER_TOKEN_FILE", "KRB5CCNAME")


def plain_environment() -> dict[str, str]:
    """Return the environment of a batch system's commands, without variables that would change their output."""
    return {name: os.environ[name] for name in _PLAIN if name in os.environ}


def submit_environment(settings: SchedulerSettings) -> dict[str, str]:
    """Return the environment of a submit command that passes its own on to the job."""
    return plain_environment() | job_environment(settings)


def resident_environment(settings: SchedulerSettings) -> dict[str, str]:
    """Return the environment of a dispatcher that is a job, including the variables that locate its tokens."""
    found = {name: os.environ[name] for name in _RESIDENT if name in os.environ}
    return found | submit_environment(settings)


def job_environment(settings: SchedulerSettings) -> dict[str, str]:
    """Return the explicit environment of a batch job.

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
    if settings.em_bright:
        chosen["GWBATCH_EM_BRIGHT"] = settings.em_bright
    if "GWBATCH_KILL_JOB_AT" in os.environ:
        chosen["GWBATCH_KILL_AT"] = os.environ["GWBATCH_KILL_JOB_AT"]
    return chosen
