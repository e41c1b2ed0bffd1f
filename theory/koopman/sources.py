"""The papers of this family."""

from lemmata.claims import Source

__all__: list[str] = []

WILLIAMS = Source(
    "williams2015",
    "Williams, Matthew O. and Kevrekidis, Ioannis G. and Rowley, Clarence W.",
    "A data-driven approximation of the Koopman operator: extending dynamic mode decomposition",
    "Journal of Nonlinear Science 25",
    2015,
    arxiv="1408.4408",
)
KORDA = Source(
    "korda2018",
    "Korda, Milan and Mezić, Igor",
    "On convergence of extended dynamic mode decomposition to the Koopman operator",
    "Journal of Nonlinear Science 28",
    2018,
    arxiv="1703.04680",
)
TOWNSEND = Source(
    "colbrook2024",
    "Colbrook, Matthew J. and Townsend, Alex",
    "Rigorous data-driven computation of spectral properties of Koopman operators for dynamical systems",
    "Communications on Pure and Applied Mathematics 77",
    2024,
    arxiv="2111.14889",
)
AYTON = Source(
    "colbrook2023",
    "Colbrook, Matthew J. and Ayton, Lorna J. and Szőke, Máté",
    "Residual dynamic mode decomposition: robust and verified Koopmanism",
    "Journal of Fluid Mechanics 955",
    2023,
    arxiv="2205.09779",
)
MPEDMD = Source(
    "colbrook2023b",
    "Colbrook, Matthew J.",
    "The mpEDMD algorithm for data-driven computations of measure-preserving dynamical systems",
    "SIAM Journal on Numerical Analysis 61",
    2023,
    arxiv="2209.02244",
)
RIGGED = Source(
    "colbrook2025",
    "Colbrook, Matthew J. and Drysdale, Catherine and Horning, Andrew",
    "Rigged dynamic mode decomposition: data-driven generalized eigenfunction decompositions for Koopman operators",
    "SIAM Journal on Applied Dynamical Systems 24",
    2025,
    arxiv="2405.00782",
)
LIMITS = Source(
    "colbrook2024b",
    "Colbrook, Matthew J. and Mezić, Igor and Stepanenko, Alexei",
    "Limits and powers of Koopman learning",
    "arXiv",
    2024,
    arxiv="2407.06312",
)
STOCHASTIC = Source(
    "colbrook2024c",
    "Colbrook, Matthew J. and Li, Qin and Raut, Ryan V. and Townsend, Alex",
    "Beyond expectations: residual dynamic mode decomposition and variance for stochastic dynamical systems",
    "Nonlinear Dynamics 112",
    2024,
    arxiv="2308.10697",
)
TREFETHEN = Source(
    "trefethen2013",
    "Trefethen, Lloyd N.",
    "Approximation theory and approximation practice",
    "SIAM",
    2013,
    "Theorem 19.3",
)
WEIDEMAN = Source(
    "trefethen2014",
    "Trefethen, Lloyd N. and Weideman, J. A. C.",
    "The exponentially convergent trapezoidal rule",
    "SIAM Review 56",
    2014,
)
LIDSKII = Source(
    "moro1997",
    "Moro, Julio and Burke, James V. and Overton, Michael L.",
    "On the Lidskii-Vishik-Lyusternik perturbation theory for eigenvalues of matrices with arbitrary Jordan structure",
    "SIAM Journal on Matrix Analysis and Applications 18",
    1997,
)
EMBREE = Source(
    "trefethen2005",
    "Trefethen, Lloyd N. and Embree, Mark",
    "Spectra and pseudospectra: the behavior of nonnormal matrices and operators",
    "Princeton University Press",
    2005,
    "Chapter 7",
)
GOTTLIEB = Source(
    "gottlieb1997",
    "Gottlieb, David and Shu, Chi-Wang",
    "On the Gibbs phenomenon and its resolution",
    "SIAM Review 39",
    1997,
)
FAVARD = Source(
    "favard1937",
    "Favard, Jean",
    "Sur les meilleurs procédés d'approximation de certaines classes de fonctions par des polynômes trigonométriques",
    "Bulletin des Sciences Mathématiques 61",
    1937,
)
WIRSING_PAPER = Source(
    "wirsing1974",
    "Wirsing, Eduard",
    "On the theorem of Gauss-Kusmin-Lévy and a Frobenius-type theorem for function spaces",
    "Acta Arithmetica 24",
    1974,
)
