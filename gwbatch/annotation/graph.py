"""The graph of data products: the one place that declares what is made from what, and what is copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MAP = "bayestar.multiorder.fits"
COINC = "coinc.xml"
PSD = "psd.xml.gz"
EXTERNAL_MAP = "external.multiorder.fits"
COMBINED_MAP = "combined-ext.multiorder.fits"
FAR_FILE = "coincidence_far.json"
UPLOADED_MAP = "uploaded.multiorder.fits"  # the newest map that somebody else gave a superevent


class Scope(StrEnum):
    """Whose product it is."""

    EVENT = "event"
    SUPEREVENT = "superevent"
    EXTERNAL = "external"
    PAIR = "pair"  # a superevent and an external event together


@dataclass(frozen=True)
class Product:
    """One file that a job makes from others.

    Attributes
    ----------
    name : str
        Its file name in GraceDB.
    job : str
        The computation (`gwbatch.jobs`) that makes it, unless the policy's ``annotation.made_by`` names another.
    needs : tuple of str
        Files it is made from.
    optional : tuple of str
        Files that are used if they are there. When one arrives after the job failed, the job is run again with it.
    slug : str
        Replaces the name of the job in the key of the job, where several products of one scope share a job.
    tags : tuple of str
        Tags of the log message it is uploaded with.
    label : str or None
        Label set once it is uploaded.
    only_if : str or None
        A fact of the first file it needs, without which the product makes no sense.
    urgency : int
        Products of higher urgency go first in every queue: any sky map ahead of any plot, and those that take a second
        ahead of those that take a node.
    """

    name: str
    scope: Scope
    job: str
    needs: tuple[str, ...]
    comment: str
    optional: tuple[str, ...] = ()
    slug: str = ""
    tags: tuple[str, ...] = ("sky_loc", "public")
    label: str | None = None
    only_if: str | None = None
    urgency: int = 0

    @property
    def key_part(self) -> str:
        """What stands for the product in the key of its job."""
        return self.slug or self.job


@dataclass(frozen=True)
class Copied:
    """A file that a superevent takes over from its preferred event as it is."""

    name: str
    comment: str
    tags: tuple[str, ...]


PRODUCTS = (
    Product(
        MAP,
        Scope.EVENT,
        "localize",
        (COINC,),
        "sky localization complete",
        optional=(PSD,),
        label="SKYMAP_READY",
        urgency=1000,
    ),
    Product(
        "bayestar.html",
        Scope.SUPEREVENT,
        "fits-header",
        (MAP,),
        "FITS headers of the multi-order sky map",
        urgency=30,
    ),
    Product(
        "bayestar.png",
        Scope.SUPEREVENT,
        "plot-allsky",
        (MAP,),
        "Mollweide projection with 50% and 90% credible regions",
        urgency=25,
    ),
    Product("bayestar.fits.gz", Scope.SUPEREVENT, "flatten", (MAP,), "Flattened multi-order sky map", urgency=20),
    Product(
        "bayestar.volume.png",
        Scope.SUPEREVENT,
        "plot-volume",
        (MAP,),
        "Volume rendering of the 3D sky map",
        only_if="has_distances",
        urgency=23,
    ),
    Product(
        "bayestar.coherence.png",
        Scope.SUPEREVENT,
        "plot-coherence",
        (MAP,),
        "Bayes factor for coherence vs. incoherence",
        only_if="has_coherence",
        urgency=15,
    ),
    Product(
        "p_astro.png",
        Scope.SUPEREVENT,
        "plot-p-astro",
        ("p_astro.json",),
        "Source classification",
        tags=("p_astro", "public"),
        urgency=27,
    ),
    Product(
        "em_bright.png",
        Scope.SUPEREVENT,
        "plot-em-bright",
        ("em_bright.json",),
        "Source properties",
        tags=("em_bright", "public"),
        urgency=27,
    ),
    Product(
        EXTERNAL_MAP,
        Scope.EXTERNAL,
        "external-skymap",
        (),
        "Sky map of the external trigger",
        label="EXT_SKYMAP_READY",
        urgency=1200,
    ),
    Product(
        "external.png",
        Scope.EXTERNAL,
        "plot-allsky",
        (EXTERNAL_MAP,),
        "Mollweide projection of the external map",
        urgency=24,
    ),
    Product(
        COMBINED_MAP,
        Scope.PAIR,
        "combine-skymaps",
        (MAP, EXTERNAL_MAP),
        "Product of the sky maps of the superevent and the external trigger",
        tags=("sky_loc", "ext_coinc", "public"),
        label="COMBINEDSKYMAP_READY",
        urgency=1150,
    ),
    Product(
        "combined-ext.png",
        Scope.PAIR,
        "plot-allsky",
        (COMBINED_MAP,),
        "Mollweide projection of the combined map",
        tags=("sky_loc", "ext_coinc", "public"),
        urgency=26,
    ),
    Product(
        "overlap_integral.png",
        Scope.PAIR,
        "plot-overlap",
        (COMBINED_MAP,),
        "Overlap integral of the two sky maps",
        tags=("ext_coinc", "public"),
        urgency=26,
    ),
)

COPIES = (
    Copied(MAP, "Sky map copied from {event}", ("sky_loc", "public")),
    Copied("em_bright.json", "Source properties copied from {event}", ("em_bright", "public")),
    Copied("p_astro.json", "Source classification copied from {event}", ("p_astro", "public")),
)

# What pipelines upload themselves: the label that says it is there.
PIPELINE_UPLOADS = {"em_bright.json": "EMBRIGHT_READY", "p_astro.json": "PASTRO_READY"}


def products_of(*scopes: Scope) -> Iterator[Product]:
    """Every product of some scopes, in the order of the graph."""
    return (product for product in PRODUCTS if product.scope in scopes)


def product_named(name: str) -> Product:
    """Return the declaration of a product."""
    return next(product for product in PRODUCTS if product.name == name)
