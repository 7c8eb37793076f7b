"""gwbatch's own effects on GraceDB and jobs, and its notifications."""

from __future__ import annotations

from typing import Any

from gwbatch.effects.base import Effect
from gwbatch.keys import creation_of

MOST_URGENT = 40  # public notices and what they wait for, because telescopes are waiting
URGENT = 20  # labels and what they wait for, because other people are waiting
UPLOADS = 10

# ---- labels, files and log messages ------------------------------------------------------------------------


class Label(Effect, frozen=True):
    """Set a label on an event, superevent or external event.

    Attributes
    ----------
    target : str
        GraceDB ID, or a local key.
    occasion : str
        Distinguishes one setting from the next, for labels that come and go.
    in_order : bool
        Keep the order among all effects on the target. A label that waits for another effect, or is not `in_order`,
        does not delay other effects on its target.
    """

    kind = "gracedb.label"
    base_priority = URGENT
    needs_gracedb = True
    target: str
    label: str
    occasion: str = ""
    in_order: bool = True

    @property
    def key(self) -> str:
        return f"{self.target}/label/{self.label}" + (f"/{self.occasion}" if self.occasion else "")

    @property
    def subject(self) -> str:
        return self.target if self.in_order and self.after is None else f"{self.target}/label/{self.label}"


class Unlabel(Effect, frozen=True):
    """Remove a label; `occasion` distinguishes one removal from the next."""

    kind = "gracedb.unlabel"
    base_priority = URGENT
    needs_gracedb = True
    key_format = "{target}/unlabel/{label}/{occasion}"
    subject_format = "{target}/label/{label}"
    target: str
    label: str
    occasion: str = ""


class Upload(Effect, frozen=True):
    """Upload a file with a log message.

    Attributes
    ----------
    path : str or None
        The file on this machine.
    text : str or None
        The content, if there is no file.
    names : tuple of str
        Local keys in `text` that are replaced by their GraceDB IDs.
    version : str
        Distinguishes one content from the next.
    urgent : bool
        A public notice waits for it.
    """

    kind = "gracedb.upload"
    base_priority = UPLOADS
    needs_gracedb = True
    key_format = "{target}/upload/{filename}/{version}"
    subject_format = "{target}/files/{filename}"
    target: str
    filename: str
    path: str | None = None
    text: str | None = None
    names: tuple[str, ...] = ()
    comment: str = ""
    tags: tuple[str, ...] = ()
    version: str = "0"
    urgent: bool = False

    @property
    def priority(self) -> int:
        return MOST_URGENT if self.urgent else self.base_priority


class CopyFile(Effect, frozen=True):
    """Copy a file of one GraceDB object to another, as `filename`.

    Attributes
    ----------
    source_name : str
        ``NAME,VERSION``, or ``NAME`` for the newest version.
    urgent : bool
        A public notice waits for it.
    """

    kind = "gracedb.copy"
    base_priority = UPLOADS
    needs_gracedb = True
    key_format = "{target}/copy/{filename}/{version}"
    subject_format = "{target}/files/{filename}"
    source: str
    source_name: str
    target: str
    filename: str
    comment: str = ""
    tags: tuple[str, ...] = ()
    version: str = "0"
    urgent: bool = False

    @property
    def priority(self) -> int:
        return MOST_URGENT if self.urgent else self.base_priority


class Log(Effect, frozen=True):
    """Write a log message without a file; `name` distinguishes one message from the next."""

    kind = "gracedb.log"
    base_priority = UPLOADS
    needs_gracedb = True
    key_format = "{target}/log/{name}"
    subject_format = "{target}"
    target: str
    comment: str
    tags: tuple[str, ...] = ()
    name: str = ""


# ---- superevents -------------------------------------------------------------------------------------------


class CreateSuperevent(Effect, frozen=True):
    """Create a superevent, whose local key is `superevent`, from an event; times are in GPS s."""

    kind = "gracedb.create_superevent"
    base_priority = URGENT
    needs_gracedb = True
    subject_format = "{superevent}"
    superevent: str
    event: str
    category: str
    t_start: float
    t_0: float
    t_end: float

    @property
    def key(self) -> str:
        return str(creation_of(self.superevent))


class UpdateSuperevent(Effect, frozen=True):
    """Change `preferred`, `t_start`, `t_0` or `t_end` (GPS s); `occasion` distinguishes one change from the next."""

    kind = "gracedb.update_superevent"
    base_priority = URGENT
    needs_gracedb = True
    key_format = "{superevent}/update/{occasion}"
    subject_format = "{superevent}"
    superevent: str
    changes: dict[str, Any]
    occasion: str = ""


class AddEvent(Effect, frozen=True):
    """Add an event to a superevent. External events come and go, so they have an `occasion`."""

    kind = "gracedb.add_event"
    base_priority = URGENT
    needs_gracedb = True
    superevent: str
    event: str
    occasion: str = ""

    @property
    def key(self) -> str:
        return f"{self.superevent}/add/{self.event}" + (f"/{self.occasion}" if self.occasion else "")

    @property
    def subject(self) -> str:
        return f"{self.event}/member" if self.occasion else self.superevent


class RemoveEvent(Effect, frozen=True):
    """Remove an event from a superevent; `occasion` distinguishes one removal from the next."""

    kind = "gracedb.remove_event"
    base_priority = URGENT
    needs_gracedb = True
    key_format = "{superevent}/remove/{event}/{occasion}"
    subject_format = "{event}/member"
    superevent: str
    event: str
    occasion: str = ""


# ---- external events ---------------------------------------------------------------------------------------


class CreateExternal(Effect, frozen=True):
    """Create an external event from the notice with the hash `notice`, with its first labels."""

    kind = "gracedb.create_external"
    base_priority = URGENT
    needs_gracedb = True
    subject_format = "{external}"
    external: str
    notice: str
    labels: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return str(creation_of(self.external))


class ReplaceExternal(Effect, frozen=True):
    """Replace the file of an external event with that of a better notice."""

    kind = "gracedb.replace_external"
    base_priority = URGENT
    needs_gracedb = True
    key_format = "{external}/replace/{notice}"
    subject_format = "{external}"
    external: str
    notice: str


class KeepNotice(Effect, frozen=True):
    """Upload a notice to an external event that is based on a better one."""

    kind = "gracedb.keep_notice"
    base_priority = UPLOADS
    needs_gracedb = True
    key_format = "{external}/keep/{notice}"
    subject_format = "{external}"
    external: str
    notice: str


class ReadExternal(Effect, frozen=True):
    """Read an external event that somebody else created, and hand it to the lane of external triggers."""

    kind = "gracedb.read_external"
    base_priority = URGENT
    needs_gracedb = True
    key_format = "{graceid}/read/{occasion}"
    subject_format = "{graceid}/read"
    graceid: str
    occasion: str = ""


class AdoptExternal(Effect, frozen=True):
    """Unblock the effects that wait for the creation of an external event, because somebody else created it."""

    kind = "gracedb.adopt_external"
    needs_gracedb = True
    subject_format = "{external}"
    graceid: str
    external: str = ""

    @property
    def key(self) -> str:
        return str(creation_of(self.external))


class PreferExternal(Effect, frozen=True):
    """Show an external event and the joint false alarm rates on the superevent; `version` is that of the rates."""

    kind = "gracedb.prefer_external"
    base_priority = URGENT
    needs_gracedb = True
    key_format = "{superevent}/prefer-external/{version}"
    subject_format = "{superevent}/external"  # a problem with external events delays nothing else of a superevent
    superevent: str
    external: str
    version: str = ""


# ---- jobs --------------------------------------------------------------------------------------------------


class SubmitJob(Effect, frozen=True):
    """Submit one attempt of a job to the batch system."""

    kind = "job.submit"
    max_delay = 10.0  # asking the local submit host costs little, and somebody is waiting for a sky map
    stubborn = True  # resubmitting is safe, because the executor asks the batch system first
    key_format = "{job}/submit/{attempt}"
    subject_format = "{job}"
    job: str
    attempt: int
    job_priority: int = 0

    @property
    def priority(self) -> int:
        return self.job_priority


class ReleaseJob(Effect, frozen=True):
    """Release a held attempt of a job, as somebody ordered at the Unix time `at` (s)."""

    kind = "job.release"
    base_priority = URGENT
    key_format = "{job}/release/{attempt}/{at:.6f}"
    subject_format = "{job}/control"
    job: str
    attempt: int
    at: float = 0.0


class CancelJob(Effect, frozen=True):
    """Cancel an attempt of a job, as somebody ordered at the Unix time `at` (s)."""

    kind = "job.cancel"
    base_priority = URGENT
    key_format = "{job}/cancel/{attempt}/{at:.6f}"
    subject_format = "{job}/control"
    job: str
    attempt: int
    at: float = 0.0


# ---- notifications -----------------------------------------------------------------------------------------


class Webhook(Effect, frozen=True):
    """Post a text to the site's webhook; `occasion` distinguishes one notification from the next."""

    kind = "notify.webhook"
    key_format = "notify/webhook/{occasion}"
    subject_format = "notify/webhook"
    text: str
    occasion: str = ""


class Email(Effect, frozen=True):
    """Send a text by e-mail; `occasion` distinguishes one notification from the next."""

    kind = "notify.email"
    key_format = "notify/email/{occasion}"
    subject_format = "notify/email"
    text: str
    occasion: str = ""
