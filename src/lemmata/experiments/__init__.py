"""Pairings of a claim with simulators, instances, a measured quantity and saboteurs, one module a family."""
