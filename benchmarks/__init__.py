"""Measurements of metricopt: ``python -m benchmarks``; results lie in ``benchmarks/results``."""
