"""One request at work: what is to be made, data plugins in streams, savers for what is kept."""

from strax_core.processing.pipeline import Pipeline
from strax_core.processing.plan import obstacle
from strax_core.processing.request import Request

__all__ = ["Pipeline", "Request", "obstacle"]
