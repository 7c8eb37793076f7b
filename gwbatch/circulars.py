"""Drafts of circulars by ``ligo.followup_advocate``, in a child process because importing it takes seconds and 200 MB.

``python -m gwbatch.circulars`` reads a request (JSON) from its standard input and prints the draft.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any

import requests

from gwbatch import children
from gwbatch.causes import cause_of
from gwbatch.config.profile import GraceDBSettings
from gwbatch.errors import BadInput, TransientError
from gwbatch.gracedb import make_client

LIMIT = 120.0  # s for one draft
REFUSED, AWAY, MISSING = 3, 4, 5  # exit codes of the process


@dataclass(frozen=True)
class Request:
    """A request for a draft.

    Attributes
    ----------
    superevent : str
        GraceDB ID of the superevent, or of the external event for ``medium-latency``.
    circular : str
        ``preliminary``, ``initial``, ``earlywarning``, ``retraction``, ``update`` or ``medium-latency``.
    raven : bool
        Whether the notice reports an external trigger.
    subthreshold : bool
        Whether the event would not have been announced as significant without the external trigger.
    changed : tuple of str
        What an update has changed.
    """

    url: str
    auth: str
    timeout: float
    superevent: str
    circular: str
    raven: bool = False
    subthreshold: bool = False
    changed: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        """The draft's name in GraceDB."""
        return f"{self.circular}{'-emcoinc' if self.raven else ''}-circular.txt"


def draft(request: Request) -> str:
    """Return the text of a circular.

    Raises
    ------
    BadInput
        If the tool is not installed, or cannot draft this circular.
    TransientError
        If GraceDB or the tool did not answer.
    """
    command = children.python("gwbatch.circulars")
    try:
        done = subprocess.run(
            command, input=json.dumps(asdict(request)), capture_output=True, text=True, timeout=LIMIT, check=False,
            env=children.environment(),
        )  # fmt: skip
    except (subprocess.TimeoutExpired, OSError) as error:
        raise TransientError(f"Cannot draft the circular about {request.superevent}: {error}.") from error
    if done.returncode == 0:
        return done.stdout
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if done.returncode in (REFUSED, MISSING):
        raise BadInput(f"Cannot draft the circular about {request.superevent}: {reason}.")
    raise TransientError(f"Cannot draft the circular about {request.superevent}: {reason}.")


def compose(request: Request, client: Any) -> str:
    """Return the text that the tool writes."""
    from ligo.followup_advocate import (
        compose,
        compose_grb_medium_latency,
        compose_raven,
        compose_retraction,
        compose_update,
    )

    if request.circular == "medium-latency":
        return str(compose_grb_medium_latency(request.superevent, client=client))
    if request.circular == "update":
        return str(
            compose_update(
                request.superevent, update_types=list(request.changed), remove_text_wrap=True, client=client
            )
        )  # fmt: skip
    if request.circular == "retraction":
        return str(compose_retraction(request.superevent, remove_text_wrap=True, client=client))
    if request.raven:
        subthreshold = request.subthreshold
        return str(
            compose_raven(
                request.superevent, remove_text_wrap=True, client=client, gw_is_subthreshold=subthreshold
            )
        )  # fmt: skip
    return str(compose(request.superevent, remove_text_wrap=True, client=client))


def main() -> int:
    """Draft the circular that standard input requests."""
    # A draft must not preempt a notice, yet needs its share of a busy host because advocates wait for it.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    request = Request(**json.load(sys.stdin))
    try:
        client = make_client(GraceDBSettings(request.url, request.auth, request.timeout))  # type: ignore[arg-type]
        with redirect_stdout(sys.stderr):  # libraries print warnings
            text = compose(request, client)
        print(text, end="")
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed (pip install 'gwbatch[alerts]')", file=sys.stderr)
        return MISSING
    except (requests.RequestException, OSError) as error:
        print(cause_of(error), file=sys.stderr)
        return AWAY
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
