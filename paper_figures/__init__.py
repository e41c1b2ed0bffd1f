"""Figures of the papers, one module or package a family; `lemmata.figures` is the mechanism."""
