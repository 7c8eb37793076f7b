"""The vocabulary of a GraceDB server: groups, pipelines, searches, labels."""

from __future__ import annotations

GROUPS = ["CBC", "Burst", "External", "Test"]
PIPELINES = [
    "gstlal", "spiir", "pycbc", "MBTA", "MBTAOnline", "SGNL", "aframe", "CWB", "MLy", "oLIB", "HardwareInjection",
    "Fermi", "Swift", "SVOM", "SNEWS", "IceCube", "CHIME", "EinsteinProbe", "INTEGRAL", "AGILE",
]  # fmt: skip
SEARCHES = [
    "AllSky", "EarlyWarning", "BBH", "SSM", "MDC", "LowMass", "HighMass", "GRB", "SubGRB", "SubGRBTargeted",
    "Supernova", "HEN", "FRB", "VTInjection", "IMBH",
]  # fmt: skip
LABELS = [
    "ADVNO", "ADVOK", "ADVREQ", "COMBINEDSKYMAP_READY", "DQOK", "DQR_REQUEST", "DQV", "EARLY_WARNING", "EMBRIGHT_READY",
    "EM_COINC", "EM_READY", "EM_SENT", "EM_Selected", "EM_Throttled", "EXT_SKYMAP_READY", "GCN_PRELIM_SENT",
    "H1NO", "H1OK", "H1OPS", "HIGH_PROFILE", "INJ", "L1NO", "L1OK", "L1OPS", "LOW_SIGNIF_LOCKED",
    "LOW_SIGNIF_PRELIM_SENT", "LUMIN_GO", "LUMIN_NO", "NOT_GRB", "PASTRO_READY", "PE_READY", "RAVEN_ALERT",
    "SIGNIF_LOCKED", "SKYMAP_READY", "SNR_SERIES_READY", "SOG_READY", "V1NO", "V1OK", "V1OPS", "SWIFT_GO", "SWIFT_NO",
    "cWB_r", "cWB_s",
]  # fmt: skip
CATEGORIES = {"P": "Production", "T": "Test", "M": "MDC"}
INSTRUMENTS = {"H1": "LHO X arm", "L1": "LLO X arm", "V1": "Virgo X arm"}
SIGNOFF_TYPES = {"OP": "operator", "ADV": "advocate"}
SIGNOFF_STATUSES = {"OK": "OKAY", "NO": "NOT OKAY"}
VOEVENT_TYPES = {
    "PR": "preliminary",
    "IN": "initial",
    "UP": "update",
    "RE": "retraction",
    "EW": "earlywarning",
}
SUPEREVENT_TOPICS = {"Production": "superevent", "Test": "test_superevent", "MDC": "mdc_superevent"}


def event_topics(group: str, pipeline: str, search: str | None) -> list[str]:
    """Return the topics on which alerts about an event go out."""
    base = f"{group}_{pipeline}".lower()
    return [base, f"{base}_{search.lower()}"] if search else [base]


def initial_topics() -> list[str]:
    """Return the topics that exist from the start."""
    pipelines = [("CBC", p) for p in ("gstlal", "spiir", "pycbc", "MBTA", "MBTAOnline", "SGNL", "aframe")]
    pipelines += [("Burst", p) for p in ("CWB", "MLy", "oLIB")]
    external = [("External", p) for p in ("Fermi", "Swift", "SVOM", "SNEWS", "IceCube", "CHIME", "EinsteinProbe")]
    return [*SUPEREVENT_TOPICS.values(), *(event_topics(g, p, None)[0] for g, p in (*pipelines, *external))]
