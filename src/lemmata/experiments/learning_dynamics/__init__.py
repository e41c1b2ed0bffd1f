"""Experiments on learning whose course is known exactly, split by what they speak of."""

from lemmata.experiments.learning_dynamics import deep_linear, eggroll, grokking, lazy_rich, li2, perceptron, stability

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (
    *deep_linear.EXPERIMENTS,
    *eggroll.EXPERIMENTS,
    *grokking.EXPERIMENTS,
    *lazy_rich.EXPERIMENTS,
    *li2.EXPERIMENTS,
    *perceptron.EXPERIMENTS,
    *stability.EXPERIMENTS,
)
