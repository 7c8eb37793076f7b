"""Warm standby: a scheduler around another one, which hands a job to a pilot that already runs, if one is free.

Hedged, never raced: a task that no pilot has claimed within the hedge's time is withdrawn, by rename, and submitted
as it would have been without standby.  Nothing above `gwbatch.schedulers` sees the difference.
"""

from __future__ import annotations

from gwbatch.schedulers.standby.bells import Bell, SocketBell
from gwbatch.schedulers.standby.folder import StandbyFolder
from gwbatch.schedulers.standby.scheduler import Crew, StandbyScheduler

__all__ = ["Bell", "Crew", "SocketBell", "StandbyFolder", "StandbyScheduler"]
