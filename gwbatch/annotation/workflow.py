"""The annotation graph of one event or superevent as nodes of a workflow, for DAGMan or for Slurm's dependencies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.annotation.graph import Product, Scope, products_of
from gwbatch.annotation.planning import as_chosen, job_priority
from gwbatch.config.policy import Annotation


@dataclass(frozen=True)
class Node:
    """One computation of a workflow.

    Attributes
    ----------
    name : str
        ``SUBJECT.JOB``, e.g. ``G487.localize``.
    subject : str
        Whose product it makes; also the folder of its given inputs.
    given : tuple of str
        Inputs that are there when the workflow begins.
    parents : mapping of str to str
        Nodes that come first, and the input that each of them makes.
    """

    name: str
    subject: str
    product: Product
    given: tuple[str, ...]
    parents: Mapping[str, str]
    parameters: Mapping[str, Any]
    priority: int


def workflow(subject: str, files: Collection[str], settings: Annotation) -> Iterator[Node]:
    """The nodes for one subject, parents first.

    Parameters
    ----------
    files : collection of str
        What is there already, of ``coinc.xml``, ``psd.xml.gz`` and the sky map; what is there is not computed.
    """
    makers: dict[str, str] = {}
    for product in products_of(Scope.EVENT, Scope.SUPEREVENT):
        if product.name in files or product.name in settings.leave_out:
            continue
        if any(need not in files and need not in makers for need in product.needs):
            continue
        product = as_chosen(product, settings)
        name = f"{subject}.{product.key_part}"
        parents = {makers[need]: need for need in product.needs if need in makers}
        given = tuple(name for name in (*product.needs, *product.optional) if name in files)
        parameters = {**settings.parameters.get(product.job, {}), "graceid": subject}
        makers[product.name] = name
        yield Node(name, subject, product, given, parents, parameters, job_priority(product, significant=False))
