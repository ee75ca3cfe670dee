from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from getnet_pos.simulator import VirtualTerminal
from tests.faces import FACES, hasty
from tests.network.places import LINKS, Certificates, Link, Place, make_certificates

__all__ = ["hasty"]

Reach = Callable[..., Place]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=FACES.values(), ids=FACES)
def connect_by(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=LINKS, ids=lambda link: link.name)
def link(request: pytest.FixtureRequest) -> Link:
    if request.param.name == "usb" and os.name != "posix":
        pytest.skip("this system has no pseudo-terminals")
    return request.param


@pytest.fixture
def reach(link: Link, certificates: Certificates, connect_by: Any) -> Iterator[Reach]:
    """``reach(script=[...])`` is a virtual terminal of its own, on this test's link until the test ends."""
    with ExitStack() as stack:

        def served(**settings: Any) -> Place:
            terminal = VirtualTerminal(**settings)
            server = stack.enter_context(link.serve(terminal, certificates))
            return Place(terminal, server, link, certificates, connect_by)

        yield served
