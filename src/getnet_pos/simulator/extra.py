"""Names the extra that installs what the servers over HTTP need. It knows no server."""

from __future__ import annotations

__all__ = ["extra_is_missing"]


def extra_is_missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """The error to raise if one of the packages of ``getnet-pos[simulator]`` cannot be imported."""
    return ModuleNotFoundError(
        f'this part of the simulator needs {error.name}: pip install "getnet-pos[simulator]"', name=error.name
    )
