"""The effects of the mock-data heartbeat: periodic mock events, and the signoff of their superevents."""

from __future__ import annotations

from gwbatch.effects.base import Effect


class UploadMock(Effect, frozen=True):
    """Upload a mock event, detected at the Unix time `at` (s)."""

    kind = "mdc.upload"
    ask_first = False  # the next one comes anyway
    needs_gracedb = True
    key_format = "mdc/upload/{number}"
    subject_format = "mdc/upload"
    number: int
    at: float


class UploadMockBurst(Effect, frozen=True):
    """Upload the burst that goes with a mock event, detected at the Unix time `at` (s)."""

    kind = "mdc.upload_burst"
    ask_first = False  # the next one comes anyway
    needs_gracedb = True
    key_format = "mdc/upload/{number}/burst"
    subject_format = "mdc/upload/burst"
    number: int
    at: float


class SignOff(Effect, frozen=True):
    """Sign a mock superevent off, ``OK`` or ``NO``, as an advocate would."""

    kind = "mdc.signoff"
    needs_gracedb = True
    key_format = "{superevent}/signoff"
    subject_format = "{superevent}/signoff"
    superevent: str
    status: str
