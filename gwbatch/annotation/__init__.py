"""Which data products an event or superevent needs, from what, with which tags and labels.

`graph` declares them; `planning` says, from what exists, what is to be made next.  Pure.
"""

from __future__ import annotations

from gwbatch.annotation.graph import (
    COPIES,
    COPY_PRODUCTS,
    EVENT_PRODUCTS,
    EXTERNAL_PRODUCTS,
    JOINT_PRODUCTS,
    PIPELINE_UPLOADS,
    SUPEREVENT_PRODUCTS,
    Product,
    product_named,
)
from gwbatch.annotation.planning import Wanted, as_chosen, job_priority, wanted_products
from gwbatch.annotation.workflow import Node, workflow

__all__ = [
    "COPIES",
    "COPY_PRODUCTS",
    "EVENT_PRODUCTS",
    "EXTERNAL_PRODUCTS",
    "JOINT_PRODUCTS",
    "PIPELINE_UPLOADS",
    "SUPEREVENT_PRODUCTS",
    "Node",
    "Product",
    "Wanted",
    "as_chosen",
    "job_priority",
    "product_named",
    "wanted_products",
    "workflow",
]
