"""`lemmata.sims.koopman` on a device: dictionaries, streamed Gram matrices, sections, residuals and pseudospectra."""

from lemmata.kernels.koopman.features import features
from lemmata.kernels.koopman.section import (
    Eigen,
    Modes,
    Section,
    dmd,
    edmd,
    kernel_features,
    mpedmd,
    pseudospectrum,
    residuals,
    section,
    section_from_gram,
    section_from_triangle,
)
from lemmata.kernels.koopman.streaming import stream, stream_gram, stream_triangle

__all__ = [
    "Eigen",
    "Modes",
    "Section",
    "dmd",
    "edmd",
    "features",
    "kernel_features",
    "mpedmd",
    "pseudospectrum",
    "residuals",
    "section",
    "section_from_gram",
    "section_from_triangle",
    "stream",
    "stream_gram",
    "stream_triangle",
]
