"""Which runs of commands draw their pictures: those that several tests share, and those of tests that look at them."""

import pytest


@pytest.fixture
def drawn():
    """Let the pictures of this test be drawn."""


@pytest.fixture(autouse=True)
def pictures_are_drawn_where_needed(request):
    if "drawn" not in request.fixturenames:
        request.getfixturevalue("undrawn")
