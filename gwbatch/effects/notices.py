"""The effects of public alerts: from a planned notice to one that astronomers and GraceDB have."""

from __future__ import annotations

from gwbatch.effects.base import Effect
from gwbatch.effects.kinds import MOST_URGENT, URGENT


class FreezeNotice(Effect, frozen=True):
    """Judge a planned notice and fix what it says, or refuse it.

    Attributes
    ----------
    notice : int
        Its number in the ledger.
    name : str
        Its name among those about the superevent.
    round : str
        Tells one plan of the same notice from the next: what stopped it has gone.
    """

    kind = "notice.freeze"
    stubborn = True
    base_priority = URGENT + 5  # behind what it waits for
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
    """Send a frozen notice to one broker; `round` tells one order to send it from the next."""

    kind = "notice.publish"
    stubborn = True  # sending again is safe: what is in doubt is looked for first
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
    """Ask GraceDB which notices about a superevent have been sent that this ledger does not know of."""

    kind = "notice.recall"
    base_priority = MOST_URGENT
    max_delay = 2.0
    needs_gracedb = True
    key_format = "{superevent}/notices/recall"
    subject_format = "{superevent}/notices/recall"
    superevent: str


class StoreNotice(Effect, frozen=True):
    """Have GraceDB keep a notice that a broker has."""

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
    """Set the label that says that a notice was sent."""

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
    """Draft the circular about a notice that GraceDB has, for people to send."""

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
    """Tag the log message that brought a version of a file (``NAME,VERSION``)."""

    kind = "gracedb.tag"
    base_priority = 15
    needs_gracedb = True
    key_format = "{target}/tag/{file}/{tag}"
    subject_format = "{target}/tag/{file}"
    target: str
    file: str
    tag: str


class PreferPipelineEvent(Effect, frozen=True):
    """Name the best event of a pipeline; `occasion` tells one choice from the next."""

    kind = "gracedb.pipeline_preferred"
    base_priority = 5
    needs_gracedb = True
    key_format = "{superevent}/pipeline-preferred/{event}/{occasion}"
    subject_format = "{superevent}/pipeline-preferred"
    superevent: str
    event: str
    occasion: str = ""


class CheckData(Effect, frozen=True):
    """Look at the quality of the data around a superevent, and label it; `occasion` tells one check from the next."""

    kind = "notice.check_data"
    base_priority = MOST_URGENT
    max_delay = 2.0
    key_format = "{superevent}/data-quality/{occasion}"
    subject_format = "{superevent}/data-quality"
    superevent: str
    occasion: str
