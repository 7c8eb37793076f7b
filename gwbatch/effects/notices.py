"""The effects of public alerts, from judging a planned notice to its delivery and its storage in GraceDB."""

from __future__ import annotations

from gwbatch.effects.base import Effect
from gwbatch.effects.kinds import MOST_URGENT, URGENT


class FreezeNotice(Effect, frozen=True):
    """Judge a planned notice and freeze its content, or refuse it.

    Attributes
    ----------
    notice : int
        Its number in the ledger.
    name : str
        Its name among those about the superevent.
    round : str
        Distinguishes one plan of the same notice from the next, made once what stopped it is gone.
    """

    kind = "notice.freeze"
    stubborn = True
    base_priority = URGENT + 5  # after what it waits for
    max_delay = 5.0
    subject_format = "{superevent}/notices"
    superevent: str
    notice: int
    name: str
    round: str = ""

    @property
    def key(self) -> str:
        return f"{self.superevent}/notice/{self.name}/freeze" + (f"/{self.round}" if self.round else "")


class PublishNotice(Effect, frozen=True):
    """Send a frozen notice to one broker; `round` distinguishes one order to send it from the next."""

    kind = "notice.publish"
    stubborn = True  # sending again is safe, because a notice in doubt is looked for first
    base_priority = MOST_URGENT
    max_delay = 30.0
    subject_format = "{superevent}/notices/{broker}"
    superevent: str
    notice: int
    name: str
    broker: str
    round: int = 0

    @property
    def key(self) -> str:
        return f"{self.superevent}/notice/{self.name}/publish/{self.broker}" + (f"/{self.round}" if self.round else "")


class RecallNotices(Effect, frozen=True):
    """Ask GraceDB for notices about a superevent that were sent without this ledger's knowledge."""

    kind = "notice.recall"
    base_priority = MOST_URGENT
    max_delay = 2.0
    needs_gracedb = True
    key_format = "{superevent}/notices/recall"
    subject_format = "{superevent}/notices/recall"
    superevent: str


class StoreNotice(Effect, frozen=True):
    """Store a delivered notice in GraceDB."""

    kind = "notice.store"
    base_priority = 15
    needs_gracedb = True
    key_format = "{superevent}/notice/{name}/store"
    subject_format = "{superevent}/notices/gracedb"
    superevent: str
    notice: int
    name: str


class UploadNotice(Effect, frozen=True):
    """Upload the bytes of a notice, in one form, as a file of the superevent."""

    kind = "notice.upload"
    base_priority = 8
    needs_gracedb = True
    key_format = "{superevent}/notice/{name}/upload/{form}"
    subject_format = "{superevent}/notices/files"
    superevent: str
    notice: int
    name: str
    form: str


class LabelSent(Effect, frozen=True):
    """Set the label that shows that a notice was sent."""

    kind = "notice.label"
    base_priority = 15
    needs_gracedb = True
    key_format = "{superevent}/notice/{name}/label"
    subject_format = "{superevent}/notice/{name}/label"
    superevent: str
    notice: int
    name: str
    label: str


class DraftCircular(Effect, frozen=True):
    """Draft the circular about a stored notice, for people to send."""

    kind = "notice.draft"
    needs_gracedb = True
    max_delay = 300.0
    key_format = "{superevent}/notice/{name}/draft"
    subject_format = "{superevent}/circulars"
    superevent: str
    notice: int
    name: str


class Expose(Effect, frozen=True):
    """Make a superevent public in GraceDB."""

    kind = "gracedb.expose"
    base_priority = MOST_URGENT
    needs_gracedb = True
    key_format = "{superevent}/expose"
    subject_format = "{superevent}/expose"
    superevent: str


class TagFile(Effect, frozen=True):
    """Tag the log message with which a version of a file (``NAME,VERSION``) was uploaded."""

    kind = "gracedb.tag"
    base_priority = 15
    needs_gracedb = True
    key_format = "{target}/tag/{file}/{tag}"
    subject_format = "{target}/tag/{file}"
    target: str
    file: str
    tag: str


class PreferPipelineEvent(Effect, frozen=True):
    """Record the best event of a pipeline; `occasion` distinguishes one choice from the next."""

    kind = "gracedb.pipeline_preferred"
    base_priority = 5
    needs_gracedb = True
    key_format = "{superevent}/pipeline-preferred/{event}/{occasion}"
    subject_format = "{superevent}/pipeline-preferred"
    superevent: str
    event: str
    occasion: str = ""


class CheckData(Effect, frozen=True):
    """Check the data quality around a superevent and label it; `occasion` distinguishes one check from the next."""

    kind = "notice.check_data"
    base_priority = MOST_URGENT
    max_delay = 2.0
    key_format = "{superevent}/data-quality/{occasion}"
    subject_format = "{superevent}/data-quality"
    superevent: str
    occasion: str
