"""Every command by its code, and the sets that are derived from all the declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from ..errors import InvalidValue
from . import cloud, commands
from .checks import check_code, check_flag, one_of
from .declaring import Command, Facts, recoded
from .replies import GenericReply, Reply

__all__ = ["CATALOGUE", "Catalogue", "GenericCommand"]


class Catalogue:
    """Command types by code. It does not change; ``with_codes`` makes another one.

    Examples:
        >>> CATALOGUE.kind(100).__name__, CATALOGUE.reply_types[100].__name__
        ('Sale', 'SaleReply')
    """

    def __init__(self, kinds: Iterable[type[Command[Any]]]) -> None:
        by_code: dict[int, type[Command[Any]]] = {}
        for kind in sorted(kinds, key=lambda kind: kind.code):
            if by_code.setdefault(kind.code, kind) is not kind:
                names = f"{by_code[kind.code].__name__} and {kind.__name__}"
                raise InvalidValue(f"{names} have the same command code, {kind.code}: give each its own code")
        self.kinds: Mapping[int, type[Command[Any]]] = MappingProxyType(by_code)
        self.reply_types: Mapping[int, type[Reply]] = MappingProxyType(
            {code: kind.reply_type for code, kind in by_code.items()}
        )
        """The reply type of each function code; any other function code is read as a ``GenericReply``."""
        self.voucher_codes = frozenset(
            {commands.LastVoucher.code, *(kind.recorded_as for kind in by_code.values() if kind.leaves_voucher)}
        )
        """The function codes that the reply to a last-voucher query may have."""

    def kind(self, code: int) -> type[Command[Any]] | None:
        """The command type of ``code``; ``None`` if the code is unknown."""
        return self.kinds.get(code)

    def facts(self, code: int) -> Facts:
        """The facts about the commands of ``code``; the defaults if the code is unknown."""
        kind = self.kinds.get(code)
        return Facts(code=code, reply_type=GenericReply, recorded_as=code) if kind is None else kind.facts

    def with_codes(self, codes: Mapping[type[Command[Any]], int]) -> Catalogue:
        """The same commands, some of them with other codes."""
        return Catalogue(recoded(kind, codes.get(kind, kind.code)) for kind in self.kinds.values())


CATALOGUE: Final = Catalogue(
    kind
    for module in (commands, cloud)
    for kind in (getattr(module, name) for name in module.__all__)
    if isinstance(kind, type) and issubclass(kind, Command) and "facts" in vars(kind)
)
"""Every command that the library declares."""


_check_fields = one_of(Mapping)


@dataclass(frozen=True, slots=True)
class GenericCommand(Command[Reply]):
    """Any command by its code. ``fields`` are sent as they are; their keys are the names on the wire.

    It counts as a payment command unless ``moves_money=False``, because an unknown command may move money. If the
    library knows the code, everything else about the command is as in its catalogue.

    Examples:
        >>> pos.request(GenericCommand(code=106, moves_money=False)).connected
        True
    """

    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    code: int = field(kw_only=True)
    moves_money: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        check_code(self.code)
        check_flag(self.moves_money, "moves_money")
        _check_fields(self.fields, "fields")
        Command.__post_init__(self)

    @property
    def facts(self) -> Facts:  # type: ignore[override]  # a constant of every other command
        known = CATALOGUE.facts(self.code)
        return replace(known, moves_money=self.moves_money, refers_to=None, simplified=None)
