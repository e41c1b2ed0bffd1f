"""Frozen, validated instances with their known constants and solutions, one module a family. numpy only."""
