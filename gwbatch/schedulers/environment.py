"""What a batch job may see of the dispatcher's environment: what the profile names, and no credentials."""

from __future__ import annotations

import os
import re

from gwbatch.config.profile import SchedulerSettings
from gwbatch.errors import ConfigError

_CREDENTIAL = re.compile(r"token|passw|secret|credential|x509|proxy|api_?key", re.IGNORECASE)


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
