"""Warm standby: a scheduler around another one, which gives a job to a pilot that already runs, if one is free.

Tasks are hedged, never raced.  The dispatcher withdraws a task that no pilot has claimed within the hedge time, and
submits it as it would without standby.  Code above `gwbatch.schedulers` sees no difference.
"""

from __future__ import annotations

from gwbatch.schedulers.standby.bells import Bell, SocketBell
from gwbatch.schedulers.standby.folder import StandbyFolder
from gwbatch.schedulers.standby.scheduler import Crew, StandbyScheduler

__all__ = ["Bell", "Crew", "SocketBell", "StandbyFolder", "StandbyScheduler"]
