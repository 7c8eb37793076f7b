"""The graph of data products, declared: the one place that says what is made from what."""

from __future__ import annotations

from dataclasses import dataclass

MAP = "bayestar.multiorder.fits"
COINC = "coinc.xml"
PSD = "psd.xml.gz"
EXTERNAL_MAP = "external.multiorder.fits"
COMBINED_MAP = "combined-ext.multiorder.fits"
FAR_FILE = "coincidence_far.json"
UPLOADED_MAP = "uploaded.multiorder.fits"  # the newest map that somebody else gave a superevent


@dataclass(frozen=True)
class Product:
    """One file that a job makes from others.

    Attributes
    ----------
    name : str
        Its file name in GraceDB.
    job : str
        The computation (`gwbatch.jobs`) that makes it.
    needs : tuple of str
        Files it is made from.
    tags : tuple of str
        Tags of the log message it is uploaded with.
    label : str or None
        Label set once it is uploaded.
    only_if : str or None
        A fact of the map without which the product makes no sense.
    urgency : int
        Products of higher urgency go first in every queue: any sky map ahead of any plot, and those that take a second
        ahead of those that take a node.
    """

    name: str
    job: str
    needs: tuple[str, ...]
    comment: str
    tags: tuple[str, ...] = ("sky_loc", "public")
    label: str | None = None
    only_if: str | None = None
    urgency: int = 0


EVENT_PRODUCTS = (Product(MAP, "localize", (COINC,), "sky localization complete", label="SKYMAP_READY", urgency=1000),)

SUPEREVENT_PRODUCTS = (
    Product("bayestar.html", "fits-header", (MAP,), "FITS headers of the multi-order sky map", urgency=30),
    Product(
        "bayestar.png",
        "plot-allsky",
        (MAP,),
        "Mollweide projection with 50% and 90% credible regions",
        urgency=25,
    ),
    Product("bayestar.fits.gz", "flatten", (MAP,), "Flattened multi-order sky map", urgency=20),
    Product(
        "bayestar.volume.png",
        "plot-volume",
        (MAP,),
        "Volume rendering of the 3D sky map",
        only_if="has_distances",
        urgency=23,
    ),
    Product(
        "bayestar.coherence.png",
        "plot-coherence",
        (MAP,),
        "Bayes factor for coherence vs. incoherence",
        only_if="has_coherence",
        urgency=15,
    ),
)

EXTERNAL_PRODUCTS = (
    Product(
        EXTERNAL_MAP, "external-skymap", (), "Sky map of the external trigger", label="EXT_SKYMAP_READY", urgency=1200
    ),
    Product("external.png", "plot-allsky", (EXTERNAL_MAP,), "Mollweide projection of the external map", urgency=24),
)

# Of a superevent and an external event together.
JOINT_PRODUCTS = (
    Product(
        COMBINED_MAP,
        "combine-skymaps",
        (MAP, EXTERNAL_MAP),
        "Product of the sky maps of the superevent and the external trigger",
        tags=("sky_loc", "ext_coinc", "public"),
        label="COMBINEDSKYMAP_READY",
        urgency=1150,
    ),
    Product(
        "combined-ext.png",
        "plot-allsky",
        (COMBINED_MAP,),
        "Mollweide projection of the combined map",
        tags=("sky_loc", "ext_coinc", "public"),
        urgency=26,
    ),
    Product(
        "overlap_integral.png",
        "plot-overlap",
        (COMBINED_MAP,),
        "Overlap integral of the two sky maps",
        tags=("ext_coinc", "public"),
        urgency=26,
    ),
)

# What a superevent takes over from its preferred event as it is.
COPIES = {
    MAP: ("Sky map copied from {event}", ("sky_loc", "public")),
    "em_bright.json": ("Source properties copied from {event}", ("em_bright", "public")),
    "p_astro.json": ("Source classification copied from {event}", ("p_astro", "public")),
}

# Pictures of what was copied.
COPY_PRODUCTS = (
    Product(
        "p_astro.png", "plot-p-astro", ("p_astro.json",), "Source classification", tags=("p_astro", "public"),
        urgency=27,
    ),
    Product(
        "em_bright.png", "plot-em-bright", ("em_bright.json",), "Source properties", tags=("em_bright", "public"),
        urgency=27,
    ),
)  # fmt: skip

# What pipelines upload themselves: the label that says it is there.  A computation of our own becomes a
# `Product` of EVENT_PRODUCTS with the same name and label.
PIPELINE_UPLOADS = {"em_bright.json": "EMBRIGHT_READY", "p_astro.json": "PASTRO_READY"}


def product_named(name: str) -> Product:
    """The declaration of a product."""
    known = (*EVENT_PRODUCTS, *SUPEREVENT_PRODUCTS, *COPY_PRODUCTS, *EXTERNAL_PRODUCTS, *JOINT_PRODUCTS)
    return next(product for product in known if product.name == name)
