"""Measuring and reducing model update regression in structured prediction."""

__version__ = "0.1.0"
