"""The graph of data products, the only place that declares what is made from what, and what is copied."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from gwbatch.errors import ConfigError

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
FLAT_MAP = "flat.fits"  # a pipeline's map with a single resolution, such as cwb.fits.gz
SAMPLES = "posterior_samples.hdf5"  # uploaded as PREFIX.posterior_samples.hdf5
SAMPLES_MAP = "samples.multiorder.fits"  # of a superevent; uploaded as PREFIX.multiorder.fits
UPLOADED_MAP = "uploaded.multiorder.fits"  # the newest map that somebody else uploaded to a superevent
UPLOADED = {MAP: UPLOADED_MAP, EM_BRIGHT: "uploaded.em_bright.json", P_ASTRO: "uploaded.p_astro.json"}


class Scope(StrEnum):
    """What a product belongs to."""

    EVENT = "event"
    SUPEREVENT = "superevent"
    EXTERNAL = "external"
    PAIR = "pair"  # a superevent and an external event together


@dataclass(frozen=True)
class Recipe:
    """Another way to make a product if something that it usually needs is missing.

    Attributes
    ----------
    job : str
        The computation, if it differs from the product's.
    filename : str
        The file name in GraceDB, if it differs from the product's.
    converts : bool
        Whether it converts the same product from another form, made by somebody else. If so, it applies to any event.
    """

    needs: tuple[str, ...]
    job: str = ""
    filename: str = ""
    converts: bool = False


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
        Files that are used if they exist. If one arrives after the job has failed, the job runs again with it.
    otherwise : tuple of Recipe
        Other ways to make it, the best first.
    slug : str
        Replaces the name of the job in its key, if several products of one scope share a job.
    filename : str
        Its file name in GraceDB if that is not `name`, with ``{pipeline}`` for the pipeline in lower case and
        ``{prefix}`` for what comes before the first dot in the name of the first file it needs.
    tags : tuple of str
        Tags of the log message it is uploaded with.
    label : str or None
        Label set once it is uploaded.
    only_if : str or None
        A fact about the first file it needs, without which the product makes no sense.
    reveals : tuple of str
        Facts about the first file it needs that its job determines, for files that we did not make.
    urgency : int
        Products of higher urgency go first in every queue: sky maps ahead of plots, and products that take a second
        ahead of those that take a whole node.
    converts : bool
        As in `Recipe`.
    """

    name: str
    scope: Scope
    job: str
    needs: tuple[str, ...]
    comment: str
    optional: tuple[str, ...] = ()
    otherwise: tuple[Recipe, ...] = ()
    slug: str = ""
    filename: str = ""
    tags: tuple[str, ...] = ("sky_loc", "public")
    label: str | None = None
    only_if: str | None = None
    reveals: tuple[str, ...] = ()
    urgency: int = 0
    converts: bool = False

    @property
    def key_part(self) -> str:
        """The part of its job's key that identifies the product."""
        return self.slug or self.job

    def made_from(self, have: Collection[str]) -> Product | None:
        """Return the product, made in the first way that these files allow; None if they allow none."""
        if set(self.needs) <= set(have):
            return self
        for recipe in self.otherwise:
            if set(recipe.needs) <= set(have):
                job, filename = recipe.job or self.job, recipe.filename or self.filename
                return replace(
                    self, needs=recipe.needs, optional=(), job=job, filename=filename, converts=recipe.converts
                )
        return None


@dataclass(frozen=True)
class Copied:
    """A file that is copied unchanged from the preferred event to its superevent, and the label that announces it."""

    name: str
    comment: str
    tags: tuple[str, ...]
    label: str | None = None


def _views(
    skymap: str, *, slug: str = "", tags: tuple[str, ...] = ("sky_loc", "public"), reveals: tuple[str, ...] = ()
) -> tuple[Product, ...]:
    """Return the products that show a multi-order map: headers, pictures, and the map at a single resolution."""
    stem, rows = skymap.partition(".")[0], (
        ("html", "fits-header", "FITS headers of the multi-order sky map", 30),
        ("png", "plot-allsky", "Mollweide projection with 50% and 90% credible regions", 25),
        ("fits.gz", "flatten", "Flattened multi-order sky map", 20),
        ("volume.png", "plot-volume", "Volume rendering of the 3D sky map", 23),
    )  # fmt: skip
    return tuple(
        Product(
            f"{stem}.{suffix}", Scope.SUPEREVENT, job, (skymap,), comment, slug=slug and slug + job, tags=tags,
            only_if="has_distances" if job == "plot-volume" else None,
            reveals=reveals if job == "fits-header" else (), urgency=urgency,
        )
        for suffix, job, comment, urgency in rows
    )  # fmt: skip


PRODUCTS: list[Product] = [
    Product(
        MAP,
        Scope.EVENT,
        "localize",
        (COINC,),
        "sky localization complete",
        optional=(PSD,),
        otherwise=(Recipe((FLAT_MAP,), "multi-order", "{prefix}.multiorder.fits", converts=True),),
        label="SKYMAP_READY",
        urgency=1000,
    ),
    Product(
        EM_BRIGHT,
        Scope.EVENT,
        "em-bright",
        (TEMPLATE,),
        "source properties",
        otherwise=(Recipe((SAMPLES,)),),
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
        otherwise=(Recipe((SAMPLES,)),),
        tags=("em_follow", "public"),
        urgency=1100,
    ),
    *_views(MAP, reveals=("has_distances", "has_coherence")),
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
        tags=("em_follow", "p_astro", "public"),
        urgency=27,
    ),
    Product(
        "em_bright.png",
        Scope.SUPEREVENT,
        "plot-em-bright",
        (EM_BRIGHT,),
        "Source properties",
        tags=("em_follow", "em_bright", "public"),
        urgency=27,
    ),
    # Results of people's parameter estimation. They help to decide on an update, so they are not public.
    Product(
        SAMPLES_MAP,
        Scope.SUPEREVENT,
        "skymap-from-samples",
        (SAMPLES,),
        "Sky map of the posterior samples",
        filename="{prefix}.multiorder.fits",
        tags=("sky_loc", "pe"),
        urgency=22,
    ),
    *_views(SAMPLES_MAP, slug="samples-", tags=("sky_loc", "pe")),
    Product(
        "samples.em_bright.json",
        Scope.SUPEREVENT,
        "em-bright",
        (SAMPLES,),
        "Source properties from posterior samples",
        slug="samples-em-bright",
        filename="{prefix}.em_bright.json",
        tags=("pe",),
        urgency=27,
    ),
    Product(
        "samples.em_bright.png",
        Scope.SUPEREVENT,
        "plot-em-bright",
        ("samples.em_bright.json",),
        "Source properties from posterior samples",
        slug="samples-plot-em-bright",
        tags=("pe",),
        urgency=21,
    ),
    Product(
        "samples.mchirp_source.json",
        Scope.SUPEREVENT,
        "mchirp-source",
        (SAMPLES,),
        "Source-frame chirp mass from posterior samples",
        slug="samples-mchirp-source",
        filename="mchirp_source_PE.json",
        tags=("em_follow",),
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
]
"""Every product, including those of plug-ins."""

COPIES = (
    # Other software waits for comments that begin like the following one.
    Copied(MAP, "Localization copied from {event}", ("sky_loc", "public"), "SKYMAP_READY"),
    Copied(EM_BRIGHT, "Source properties copied from {event}", ("em_bright", "public"), "EMBRIGHT_READY"),
    Copied(P_ASTRO, "Source classification copied from {event}", ("p_astro", "public"), "PASTRO_READY"),
    Copied(MCHIRP_SOURCE, "Source-frame chirp mass copied from {event}", ("em_follow", "public")),
)

# Products that pipelines may upload themselves: (part of) the file name, and the label that announces it.
PIPELINE_UPLOADS = {MAP: "SKYMAP_READY", EM_BRIGHT: "EMBRIGHT_READY", P_ASTRO: "PASTRO_READY"}
PIPELINE_MAPS = ("amplfi", "cwb", "mly", "olib")  # NAME.multiorder.fits, of pipelines that upload nothing to localize


def declare(product: Product) -> Product:
    """Add a product.

    Raises
    ------
    ConfigError
        If another product has the same name, or the same job in its scope without a slug to tell them apart.
    """
    for known in PRODUCTS:
        is_taken = known.name == product.name or (known.scope, known.key_part) == (product.scope, product.key_part)
        if known != product and is_taken:
            raise ConfigError(
                f"Cannot declare the product {product.name!r}: {known.name!r} has its name or its job. "
                "Choose another name, or give it a slug."
            )
    if product not in PRODUCTS:
        PRODUCTS.append(product)
    return product


def products_of(*scopes: Scope) -> Iterator[Product]:
    """Yield every product of some scopes, in the order of the graph."""
    return (product for product in PRODUCTS if product.scope in scopes)


def product_named(name: str) -> Product:
    """Return the declaration of a product."""
    return next(product for product in PRODUCTS if product.name == name)


def uploaded_product(filename: str) -> str | None:
    """Return the product that a pipeline uploaded as `filename`, with or without a prefix; None for other files."""
    front, _, rest = filename.partition(".")
    if rest == "multiorder.fits" and front.lower() in PIPELINE_MAPS:
        return MAP
    return next((name for name in (EM_BRIGHT, P_ASTRO) if filename == name or filename.endswith(f".{name}")), None)


_PREFIX = re.compile(r"(?!bayestar$)[A-Za-z0-9][A-Za-z0-9_.-]*")  # it becomes part of file and job names


def uploaded_input(filename: str) -> str | None:
    """Return which input of products a file is, if it can arrive after its event; None for other files."""
    front, _, rest = filename.partition(".")
    if filename == PSD:
        return PSD
    if rest in ("fits", "fits.gz") and front.lower() in PIPELINE_MAPS:
        return FLAT_MAP
    prefix, dot, _ = filename.rpartition(f".{SAMPLES}")
    return SAMPLES if dot and filename.endswith(SAMPLES) and _PREFIX.fullmatch(prefix) else None


def named_after(product: str, need: str, filename: str) -> str:
    """Return the name of a product that is made from `need`, which GraceDB has under the name `filename`.

    >>> named_after("p_astro.png", "p_astro.json", "gstlal.p_astro.json")
    'gstlal.p_astro.png'
    >>> named_after("bayestar.volume.png", "bayestar.multiorder.fits", "cwb.multiorder.fits")
    'cwb.volume.png'
    """
    if filename.endswith(f".{need}"):
        return filename.removesuffix(need) + product
    stem, other = need.partition(".")[0], filename.partition(".")[0]
    return other + product.removeprefix(stem) if product.startswith(stem) else product
