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
TEMPLATE = "template"  # no file: masses, spins and rates of the best-matching template, from the alert or coinc.xml
EM_BRIGHT = "em_bright.json"
P_ASTRO = "p_astro.json"  # uploaded as PIPELINE.p_astro.json
MCHIRP_SOURCE = "mchirp_source.json"
UPLOADED_MAP = "uploaded.multiorder.fits"  # the newest map that somebody else gave a superevent
UPLOADED = {MAP: UPLOADED_MAP, EM_BRIGHT: "uploaded.em_bright.json", P_ASTRO: "uploaded.p_astro.json"}


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
        Its file name in the ledger and in job directories, and in GraceDB unless `filename` says otherwise.
    job : str
        The computation (`gwbatch.jobs`) that makes it, unless the policy's ``annotation.made_by`` names another.
    needs : tuple of str
        Files it is made from.
    optional : tuple of str
        Files that are used if they are there. When one arrives after the job failed, the job is run again with it.
    slug : str
        Replaces the name of the job in the key of the job, where several products of one scope share a job.
    filename : str
        Its file name in GraceDB where that is not `name`, with ``{pipeline}`` for the pipeline in lower case.
    tags : tuple of str
        Tags of the log message it is uploaded with.
    label : str or None
        Label set once it is uploaded.
    only_if : str or None
        A fact of the first file it needs, without which the product makes no sense.
    reveals : tuple of str
        Facts about the first file it needs that its job finds out, for files that we did not make.
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
    filename: str = ""
    tags: tuple[str, ...] = ("sky_loc", "public")
    label: str | None = None
    only_if: str | None = None
    reveals: tuple[str, ...] = ()
    urgency: int = 0

    @property
    def key_part(self) -> str:
        """What stands for the product in the key of its job."""
        return self.slug or self.job


@dataclass(frozen=True)
class Copied:
    """A file that a superevent takes over from its preferred event as it is, and the label that says it is there."""

    name: str
    comment: str
    tags: tuple[str, ...]
    label: str | None = None


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
        EM_BRIGHT,
        Scope.EVENT,
        "em-bright",
        (TEMPLATE,),
        "source properties",
        tags=("em_bright", "public"),
        label="EMBRIGHT_READY",
        urgency=1300,
    ),
    Product(
        P_ASTRO,
        Scope.EVENT,
        "p-astro",
        (TEMPLATE,),
        "source classification",
        filename="{pipeline}.p_astro.json",
        tags=("p_astro", "public"),
        label="PASTRO_READY",
        urgency=1300,
    ),
    Product(
        MCHIRP_SOURCE,
        Scope.EVENT,
        "mchirp-source",
        (MAP, TEMPLATE),
        "source-frame chirp mass",
        tags=("em_follow", "public"),
        urgency=1100,
    ),
    Product(
        "bayestar.html",
        Scope.SUPEREVENT,
        "fits-header",
        (MAP,),
        "FITS headers of the multi-order sky map",
        reveals=("has_distances", "has_coherence"),
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
        (P_ASTRO,),
        "Source classification",
        tags=("p_astro", "public"),
        urgency=27,
    ),
    Product(
        "em_bright.png",
        Scope.SUPEREVENT,
        "plot-em-bright",
        (EM_BRIGHT,),
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
    # Other software waits for comments that begin like this one.
    Copied(MAP, "Localization copied from {event}", ("sky_loc", "public"), "SKYMAP_READY"),
    Copied(EM_BRIGHT, "Source properties copied from {event}", ("em_bright", "public"), "EMBRIGHT_READY"),
    Copied(P_ASTRO, "Source classification copied from {event}", ("p_astro", "public"), "PASTRO_READY"),
    Copied(MCHIRP_SOURCE, "Source-frame chirp mass copied from {event}", ("em_follow", "public")),
)

# What pipelines may upload themselves: (a part of) the file's name, and the label that says it is there.
PIPELINE_UPLOADS = {MAP: "SKYMAP_READY", EM_BRIGHT: "EMBRIGHT_READY", P_ASTRO: "PASTRO_READY"}
PIPELINE_MAPS = ("amplfi", "cwb", "mly", "olib")  # NAME.multiorder.fits, of pipelines that bring nothing to localize


def products_of(*scopes: Scope) -> Iterator[Product]:
    """Every product of some scopes, in the order of the graph."""
    return (product for product in PRODUCTS if product.scope in scopes)


def product_named(name: str) -> Product:
    """Return the declaration of a product."""
    return next(product for product in PRODUCTS if product.name == name)


def uploaded_product(filename: str) -> str | None:
    """Return the product that a pipeline uploaded under a file name, with or without a prefix; None for other files."""
    front, _, rest = filename.partition(".")
    if rest == "multiorder.fits" and front in PIPELINE_MAPS:
        return MAP
    return next((name for name in (EM_BRIGHT, P_ASTRO) if filename == name or filename.endswith(f".{name}")), None)


def named_after(product: str, need: str, filename: str) -> str:
    """Return the name of a product that is made from a need which GraceDB knows by another name.

    >>> named_after("p_astro.png", "p_astro.json", "gstlal.p_astro.json")
    'gstlal.p_astro.png'
    >>> named_after("bayestar.volume.png", "bayestar.multiorder.fits", "cwb.multiorder.fits")
    'cwb.volume.png'
    """
    if filename.endswith(f".{need}"):
        return filename.removesuffix(need) + product
    stem, other = need.partition(".")[0], filename.partition(".")[0]
    return other + product.removeprefix(stem) if product.startswith(stem) else product
