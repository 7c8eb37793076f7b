"""The reasons why a notice speaks against its own trigger, in words, with limits from the policy."""

from __future__ import annotations

from collections.abc import Iterator

from gwbatch.config.external import ExternalPolicy
from gwbatch.external.notices import Notice

RETRACTED = "retracted"


def vetoes(notice: Notice, settings: ExternalPolicy) -> tuple[str, ...]:
    """Return every reason why the trigger gets NOT_GRB and must not be announced; empty if there is none."""
    return tuple(_vetoes(notice, settings))


def _vetoes(notice: Notice, settings: ExternalPolicy) -> Iterator[str]:
    said, limits = notice.evidence, settings.vetoes
    if notice.retracted:
        yield RETRACTED
    targeted = settings.targeted.get(notice.observatory.lower())
    if notice.far is not None and targeted is not None and notice.far > targeted.far_external:
        yield f"false alarm rate {notice.far:.3g} Hz, above the limit of {targeted.far_external:.3g} Hz"
    if said.grb_probability is not None and said.grb_probability < limits.grb_probability:
        yield f"a burst with probability {said.grb_probability:g}, at least {limits.grb_probability:g} is needed"
    if said.most_likely is not None and said.most_likely != limits.most_likely_grb:
        yield f"most likely source {said.most_likely}, a burst would be {limits.most_likely_grb}"
    if said.most_likely_percent is not None and said.most_likely_percent < limits.most_likely_percent:
        yield f"most likely source at {said.most_likely_percent:g} %"
    if said.importance is not None and said.importance < limits.importance:
        yield f"importance {said.importance:g}, at least {limits.importance:g} is needed"
    if said.p_astro is not None and said.p_astro < limits.p_astro:
        yield f"astrophysical with probability {said.p_astro:g}, at least {limits.p_astro:g} is needed"
    if said.known_source:
        yield f"from the known source {said.known_source[:60]}"
    if said.unpositioned:
        yield "no position yet"
    yield from said.flags


def ignored(notice: Notice, settings: ExternalPolicy) -> str:
    """Return why a notice does not count at all; empty if it does."""
    said = notice.evidence
    if said.foreign:
        return said.foreign
    if said.reliability is not None and said.reliability <= settings.vetoes.reliability:
        return f"reliability {said.reliability:g}, more than {settings.vetoes.reliability:g} is needed"
    return ""
