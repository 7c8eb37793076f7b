"""The data products that an event or superevent needs, with their inputs, tags and labels.

`graph` declares them, and `planning` derives from what exists what can be made next.  All of this is pure.
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
