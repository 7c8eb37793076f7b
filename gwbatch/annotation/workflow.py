"""The annotation graph of one event or superevent as nodes of a workflow, for DAGMan or for Slurm's dependencies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.annotation.graph import COINC, TEMPLATE, Product, Scope, products_of
from gwbatch.annotation.planning import as_chosen, is_for_pipelines, job_priority
from gwbatch.config.policy import Annotation


@dataclass(frozen=True)
class Node:
    """One computation of a workflow.

    Attributes
    ----------
    name : str
        ``SUBJECT.JOB``, e.g. ``G487.localize``.
    subject : str
        The event or superevent whose product it makes; also the folder of its given inputs.
    given : tuple of str
        Inputs that exist when the workflow starts.
    parents : mapping of str to str
        Nodes that must finish first, and the input that each of them makes.
    """

    name: str
    subject: str
    product: Product
    given: tuple[str, ...]
    parents: Mapping[str, str]
    parameters: Mapping[str, Any]
    priority: int


def workflow(subject: str, files: Collection[str], settings: Annotation) -> Iterator[Node]:
    """Yield the nodes for one subject, parents first.

    Parameters
    ----------
    files : collection of str
        Which of ``coinc.xml``, ``psd.xml.gz`` and the sky map exist already. Existing products are not computed.
    """
    makers: dict[str, str] = {}
    there = {*files, *([TEMPLATE] if COINC in files else [])}
    for declared in products_of(Scope.EVENT, Scope.SUPEREVENT):
        product = as_chosen(declared, settings).made_from({*there, *makers})
        if product is None or product.name in files or product.name in settings.leave_out:
            continue
        if is_for_pipelines(product, settings):
            continue  # an event file does not say which search it is from
        name = f"{subject}.{product.key_part}"
        parents = {makers[need]: need for need in product.needs if need in makers}
        used = (COINC if name == TEMPLATE else name for name in (*product.needs, *product.optional) if name in there)
        given = tuple(dict.fromkeys(used))
        parameters = {**settings.parameters.get(product.job, {}), "graceid": subject}
        makers[product.name] = name
        yield Node(name, subject, product, given, parents, parameters, job_priority(product, significant=False))
