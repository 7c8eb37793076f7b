"""Which data products an event or superevent needs, from what, with which tags and labels.

`graph` declares them; `planning` says, from what exists, what can be made next.  Pure.
"""

from __future__ import annotations

from gwbatch.annotation.graph import (
    COPIES,
    PIPELINE_UPLOADS,
    PRODUCTS,
    Copied,
    Product,
    Recipe,
    Scope,
    declare,
    named_after,
    product_named,
    products_of,
    uploaded_input,
    uploaded_product,
)
from gwbatch.annotation.planning import as_chosen, check_names, job_priority, made_for, makeable, not_made
from gwbatch.annotation.workflow import Node, workflow

__all__ = [
    "COPIES",
    "PIPELINE_UPLOADS",
    "PRODUCTS",
    "Copied",
    "Node",
    "Product",
    "Recipe",
    "Scope",
    "as_chosen",
    "check_names",
    "declare",
    "job_priority",
    "made_for",
    "makeable",
    "named_after",
    "not_made",
    "product_named",
    "products_of",
    "uploaded_input",
    "uploaded_product",
    "workflow",
]
