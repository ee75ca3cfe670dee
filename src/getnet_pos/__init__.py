"""Drive Getnet payment terminals, and list the terminals that a merchant owns.

Each name is imported when it is first used, so ``import getnet_pos`` alone costs next to nothing.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .connector import *
    from .equipment import AsyncEquipmentClient as AsyncEquipmentClient
    from .equipment import EquipmentClient as EquipmentClient
    from .errors import *
    from .journal import *
    from .messages import *
    from .oauth import ClientCredentials as ClientCredentials
    from .oauth import TokenProvider as TokenProvider
    from .observer import Observer as Observer
    from .profiles import *

_HOLDERS = {
    "errors": None,
    "messages": None,
    "profiles": None,
    "equipment": ["AsyncEquipmentClient", "EquipmentClient"],
    "oauth": ["ClientCredentials", "TokenProvider"],
    "journal": None,
    "observer": ["Observer"],
    "connector": None,
}
"""The modules whose names are public here, the lightest first: all names (``None``), or only those listed."""


def _names(holder: str) -> list[str]:
    chosen = _HOLDERS[holder]
    if chosen is None:
        module = import_module(f".{holder}", __name__)
        chosen = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items() if name[0] != "_" and not isinstance(value, ModuleType)
        ]
    return chosen


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return list(dict.fromkeys(public for holder in _HOLDERS for public in _names(holder)))
    if not name.startswith("_"):
        if find_spec(f".{name}", __name__):
            return import_module(f".{name}", __name__)
        for holder in _HOLDERS:
            if name in _names(holder):
                value = globals()[name] = getattr(import_module(f".{holder}", __name__), name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
