"""List the packages: setuptools cannot discover folders that are mapped under another name."""

from setuptools import find_packages, setup

PARTS = ("theory", "sims", "kernels", "paper_figures")

setup(
    packages=[
        *find_packages("src"),
        *(f"lemmata.{part}" for part in PARTS),
        *(f"lemmata.{part}.{sub}" for part in PARTS for sub in find_packages(part)),
    ]
)
