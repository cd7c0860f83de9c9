"""Figures that are made but not drawn, which takes most of the time of a command that writes pages."""

from pathlib import Path


def savefig(figure, file, **_):
    """Take the place of ``matplotlib.figure.Figure.savefig``."""
    if hasattr(file, "write"):
        file.write(b"\x89PNG")
    else:
        Path(file).write_bytes(b"\x89PNG")
