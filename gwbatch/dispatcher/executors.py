"""What each kind of effect does, and what its success changes in the ledger."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gwbatch.annotation.graph import FAR_FILE
from gwbatch.clock import Clock
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.dispatcher.external_writes import ExternalWrites
from gwbatch.dispatcher.linked_maps import Patience, decode_map, fetch_map
from gwbatch.dispatcher.notifications import Notifications
from gwbatch.dispatcher.outcome import Outcome
from gwbatch.errors import BadInput, GwbatchError, TransientError
from gwbatch.external.notices import is_external
from gwbatch.faults import mark
from gwbatch.handlers.registry import JOB_ENDED, SUPEREVENT_CHANGED, Registry
from gwbatch.jobs.directory import REQUEST, write_request
from gwbatch.jobs.result import NAME, read_result, sync
from gwbatch.ledger import Ledger, Transaction, jobs, messages
from gwbatch.ledger.effects import Claimed
from gwbatch.ledger.external import Externals
from gwbatch.ledger.mirror import Mirror
from gwbatch.model import JobReport, JobRequest, JobState
from gwbatch.private import private_folder
from gwbatch.schedulers import Scheduler

if TYPE_CHECKING:
    from gwbatch.gracedb.writer import Writer


LARGEST_RATE = 1.0e9  # Hz


class Executors:
    """Carries out effects of every kind.

    Parameters
    ----------
    state : Path
        The state directory; job directories are made below it.
    """

    def __init__(
        self,
        ledger: Ledger,
        profile: Profile,
        state: Path,
        scheduler: Scheduler,
        registry: Registry,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._ledger = ledger
        self._profile = profile
        self._state = state
        self._scheduler = scheduler
        self._registry = registry
        self._clock = clock
        self._policy = policy
        self._writer: Writer | None = None
        self._notifications = Notifications(profile.notify)
        self._external = ExternalWrites(ledger, lambda: self.writer, clock)
        self._kinds: dict[str, Callable[[Claimed], Outcome]] = {
            "gracedb.create_superevent": self._create_superevent,
            "gracedb.update_superevent": self._update_superevent,
            "gracedb.add_event": self._add_event,
            "gracedb.label": self._label,
            "gracedb.unlabel": self._unlabel,
            "gracedb.remove_event": self._remove_event,
            "gracedb.create_external": self._external.create,
            "gracedb.replace_external": self._external.replace,
            "gracedb.keep_notice": self._external.keep,
            "gracedb.read_external": self._external.read,
            "gracedb.adopt_external": self._external.adopt,
            "gracedb.prefer_external": self._prefer_external,
            "gracedb.upload": self._upload,
            "gracedb.copy": self._copy,
            "gracedb.log": self._log,
            "notify.webhook": self._notifications.webhook,
            "notify.email": self._notifications.email,
            "job.submit": self._submit,
            "job.release": self._release,
            "job.cancel": self._cancel,
        }

    def carry_out(self, claimed: Claimed) -> Outcome:
        """Do one effect; an earlier attempt of unknown outcome is asked about, not repeated."""
        kind = self._kinds.get(claimed.kind)
        if kind is None:
            raise GwbatchError(f"There is no effect of kind {claimed.kind!r}. Known: {', '.join(sorted(self._kinds))}.")
        if claimed.kind.startswith("gracedb.") and not self._profile.gracedb.url:
            return Outcome({"skipped": "the site profile names no GraceDB server"})
        return kind(claimed)

    def given_up(self, tx: Transaction, claimed: Claimed, reason: str) -> None:
        """A job that could not even be submitted has failed."""
        if claimed.kind != "job.submit":
            return
        job = jobs.get(tx, claimed.args["job"])
        if job is not None and job.attempt == claimed.args["attempt"]:
            result = {"error": {"message": reason, "retryable": False}}
            end_job(
                tx,
                job,
                JobReport(job.attempt_key, JobState.FAILED, reason=reason),
                result,
                self._registry,
                self._clock.now(),
            )

    def warm_up(self) -> None:
        """Import the client and read the server's root before the first alert needs them."""
        if self._profile.gracedb.url:
            try:
                self.writer.client.service_info  # noqa: B018
            except Exception:
                return  # the first effect will say what is wrong, in its own words

    @property
    def writer(self) -> Writer:
        """The GraceDB writer, made on first use."""
        if self._writer is None:
            from gwbatch.gracedb.client import make_client
            from gwbatch.gracedb.writer import Writer

            self._writer = Writer(make_client(self._profile.gracedb))
        return self._writer

    # ---- GraceDB ------------------------------------------------------------------------------------------

    def _create_superevent(self, claimed: Claimed) -> Outcome:
        since = self._clock.now()
        superevent_id, ours = self.writer.create_superevent(claimed.args, repeated=claimed.attempts > 1)
        key = claimed.args["superevent"]

        def name(tx: Transaction) -> None:
            mirror = Mirror(tx)
            mirror.name_superevent(key, superevent_id, self._clock.now())
            mirror.note_written(key, since, {"preferred": claimed.args["event"], **claimed.args})
            if not ours:
                mirror.expect(key, {})  # GraceDB will never show our window: its own counts
            known = mirror.superevent(key)
            if known is not None and known.key != key:  # it is one with another, which external events may know
                message = {"superevent": known.key, "because": claimed.key}
                messages.send(tx, "lane", SUPEREVENT_CHANGED, message, ["exttrig"], self._clock.now())

        return Outcome({"superevent_id": superevent_id, "ours": ours}, name)

    def _update_superevent(self, claimed: Claimed) -> Outcome:
        since = self._clock.now()
        target = self._target(claimed.args["superevent"])
        current = Mirror(self._ledger.connection).superevent(claimed.args["superevent"])
        # Always the newest decision: an update that comes late must not take GraceDB back in time.
        changes = {name: getattr(current, name, value) for name, value in claimed.args["changes"].items()}
        self.writer.update_superevent(target, changes, repeated=claimed.attempts > 1)
        key = claimed.args["superevent"]
        return Outcome({"target": target, "changes": changes}, lambda tx: Mirror(tx).note_written(key, since, changes))

    def _add_event(self, claimed: Claimed) -> Outcome:
        target = self._target(claimed.args["superevent"])
        self.writer.add_event(target, self._target(claimed.args["event"]), repeated=claimed.attempts > 1)
        return Outcome({"target": target})

    def _remove_event(self, claimed: Claimed) -> Outcome:
        target = self._target(claimed.args["superevent"])
        self.writer.remove_event(target, self._target(claimed.args["event"]))
        return Outcome({"target": target})

    def _prefer_external(self, claimed: Claimed) -> Outcome:
        key, external = claimed.args["superevent"], claimed.args["external"]
        superevent = Mirror(self._ledger.connection).superevent(key)
        found = Externals(self._ledger.connection).coincidences(external=external)
        # Always the newest numbers, and none of a coincidence that has ended meanwhile.
        match = next((o.match for o in found if superevent and o.chosen and o.match.superevent == superevent.key), None)
        shown = Mirror(self._ledger.connection).product(superevent.key, FAR_FILE) if superevent else None
        if match is None or shown is None or shown.facts.get("external") != external:
            return Outcome({"skipped": "not its preferred external event any more"})
        rates = {"time_coinc_far": match.far_time, "space_coinc_far": match.far_spacetime}
        # GraceDB keeps the rate of before unless it gets another: one without bound is written as a large one.
        changes = {name: min(rate, LARGEST_RATE) for name, rate in rates.items() if rate is not None}
        target = self._target(key)
        self.writer.update_superevent(target, {"em_type": self._target(external), **changes}, repeated=True)
        return Outcome({"target": target, "changes": changes})

    def _label(self, claimed: Claimed) -> Outcome:
        target = self._target(claimed.args["target"])
        self.writer.label(target, claimed.args["label"], repeated=claimed.attempts > 1)
        return Outcome({"target": target})

    def _unlabel(self, claimed: Claimed) -> Outcome:
        target = self._target(claimed.args["target"])
        self.writer.remove_label(target, claimed.args["label"])
        return Outcome({"target": target})

    def _upload(self, claimed: Claimed) -> Outcome:
        args, target = claimed.args, self._target(claimed.args["target"])
        repeated = claimed.attempts > 1
        if "text" in args:
            text = args["text"]
            for name in args["names"]:
                text = text.replace(name, self._target(name))
            content = text.encode()
            self.writer.upload(target, args["filename"], content, args["comment"], args["tags"], repeated=repeated)
            return Outcome({"target": target})
        self.writer.upload_file(
            target, args["filename"], Path(args["path"]), args["comment"], args["tags"], repeated=repeated
        )
        return Outcome({"target": target})

    def _copy(self, claimed: Claimed) -> Outcome:
        args, target = claimed.args, self._target(claimed.args["target"])
        content = self.writer.download(self._target(args["source"]), args["source_name"])
        repeated = claimed.attempts > 1
        self.writer.upload(target, args["filename"], content, args["comment"], args["tags"], repeated=repeated)
        return Outcome({"target": target})

    def _log(self, claimed: Claimed) -> Outcome:
        args, target = claimed.args, self._target(claimed.args["target"])
        self.writer.log(target, args["comment"], args["tags"], repeated=claimed.attempts > 1)
        return Outcome({"target": target})

    def _target(self, name: str) -> str:
        """The GraceDB id of an event, or of a superevent or external event by its local key."""
        if is_external(name):
            return self._external.graceid(name)
        if not name.startswith("S@"):
            return name
        superevent = Mirror(self._ledger.connection).superevent(name)
        if superevent is None or superevent.superevent_id is None:
            raise TransientError(
                f"Superevent {name} has no GraceDB id yet: its creation has not succeeded (see 'gwbatch status')."
            )
        return superevent.superevent_id

    # ---- jobs ---------------------------------------------------------------------------------------------

    def _submit(self, claimed: Claimed) -> Outcome:
        job = jobs.get(self._ledger.connection, claimed.args["job"])
        if job is None or job.attempt != claimed.args["attempt"] or job.state is not JobState.WAITING:
            return Outcome({"skipped": "not waiting any more"})
        directory = self._profile.job_folder(self._state) / Path(*job.attempt_key.split("/"))
        known = self._scheduler.find([job.attempt_key]) if claimed.attempts > 1 else {}
        if job.attempt_key in known:
            native_id = known[job.attempt_key].native_id
        elif claimed.attempts > 1 and read_result(directory, job.attempt_key) is not None:
            native_id = ""  # it ran to its end and the scheduler has forgotten it: the watcher finds the result
        else:
            request = self._prepare(job, directory, claimed.attempts)
            mark("job.prepared")
            native_id = self._scheduler.submit(request)
        mark("job.submitted")
        current = jobs.get(self._ledger.connection, job.key)
        if current is None or current.attempt != job.attempt or current.state is JobState.CANCELLED:
            self._scheduler.cancel(job.attempt_key)  # somebody did while it was being handed over
        return Outcome(
            {"native_id": native_id},
            lambda tx: jobs.submitted(tx, job, self._scheduler.name, native_id, str(directory), self._clock.now()),
        )

    def _release(self, claimed: Claimed) -> Outcome:
        job = self._job_of(claimed)
        if job is None or job.state is not JobState.HELD:
            return Outcome({"skipped": "not held any more"})
        self._scheduler.release(job.attempt_key)
        return Outcome({"released": job.attempt_key}, lambda tx: jobs.released(tx, job, self._clock.now()))

    def _cancel(self, claimed: Claimed) -> Outcome:
        job = self._job_of(claimed)
        if job is None or job.state.final:
            return Outcome({"skipped": "ended already"})
        self._scheduler.cancel(job.attempt_key)
        seen = JobReport(job.attempt_key, JobState.CANCELLED, reason="cancelled by hand")

        def end(tx: Transaction) -> None:
            current = jobs.get(tx, job.key)
            if current is not None and current.attempt == job.attempt and not current.state.final:
                end_job(tx, job, seen, None, self._registry, self._clock.now())

        return Outcome({"cancelled": job.attempt_key}, end)

    def _job_of(self, claimed: Claimed) -> jobs.Job | None:
        job = jobs.get(self._ledger.connection, claimed.args["job"])
        return job if job is not None and job.attempt == claimed.args["attempt"] else None

    def _prepare(self, job: jobs.Job, directory: Path, tries: int) -> JobRequest:
        """Make the job directory: inputs and ``job.json``, nothing else."""
        private_folder(directory)
        for name, source in job.request["inputs"].items():
            self._fetch(source, directory / name, job.created, tries)
        (output,) = job.request["outputs"]
        inputs = tuple(job.request["inputs"])
        write_request(directory, job.attempt_key, job.kind, inputs, output, job.request["parameters"], self._profile)
        return JobRequest(
            job.attempt_key, job.kind, job.queue, directory, (REQUEST, *inputs), (output, NAME),
            self._profile.resources(job.queue), job.priority, job.avoid,
        )  # fmt: skip

    def _fetch(self, source: Mapping[str, Any], place: Path, since: float, tries: int) -> None:
        if place.exists():
            return
        temporary = place.with_name(f".{place.name}.new")
        if "path" in source:
            try:
                shutil.copyfile(source["path"], temporary)
            except OSError as error:
                raise BadInput(
                    f"The input {place.name} cannot be read from {source['path']}: {error.strerror}."
                ) from error
        elif "gracedb" in source:
            graceid, filename = source["gracedb"]
            temporary.write_bytes(self.writer.download(self._target(graceid), filename))
        else:
            temporary.write_bytes(self._given_map(source, since, tries))
        sync(temporary)
        temporary.replace(place)

    def _given_map(self, source: Mapping[str, Any], since: float, tries: int) -> bytes:
        """The sky map that a notice brings or links to, or that its observatory publishes later."""
        ((kind, digest),) = ((name, source[name]) for name in ("inline", "url", "official") if name in source)
        _, _, notice = Externals(self._ledger.connection).notice(source["external"], digest)
        settings = self._policy.external
        if kind == "inline":
            return decode_map(notice.skymap, settings.largest_map)
        url, wait = notice.skymap, settings.map_wait
        if kind == "official":
            url, since, wait = notice.official_map, since + settings.official_map_after, settings.official_map_wait
        patience = Patience(since, since + wait, tries, settings.map_tries)
        return fetch_map(url, settings.map_sources, settings.largest_map, patience, self._clock.now())


def end_job(
    tx: Transaction,
    job: jobs.Job,
    seen: JobReport,
    result: Mapping[str, Any] | None,
    registry: Registry,
    now: float,
) -> None:
    """A job has ended: write it down and tell the handlers, in one transaction."""
    if not jobs.report(tx, job, seen, result, now):
        return
    message = {"job": job.key, "attempt": job.attempt, "state": str(seen.state)}
    messages.send(tx, "job", JOB_ENDED, message, registry.lanes_for(JOB_ENDED), now)
