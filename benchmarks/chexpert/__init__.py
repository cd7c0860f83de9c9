"""Rare findings on chest X-rays: methods beside each other on one transferred network, for ``python -m benchmarks``."""
