"""How a command is declared: its facts, its fields and its simplified form. It sends nothing.

::

    @command(115, reply=SimReply, waits=Waits.SHORT)
    class SimReport(Command[SimReply]):
        print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)

All other sets of commands are derived from these declarations (``messages/catalogue.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar, get_args, get_type_hints

from .checks import Check, optional, text
from .fields import Kind
from .replies import Reply

if TYPE_CHECKING:
    import typing_extensions
    from typing_extensions import dataclass_transform

    R_co = typing_extensions.TypeVar("R_co", bound=Reply, covariant=True, default=Reply)
else:
    R_co = TypeVar("R_co", bound=Reply, covariant=True)

    def dataclass_transform(**given):
        return lambda decorator: decorator


__all__ = [
    "Command",
    "Facts",
    "Reference",
    "SentField",
    "Simplified",
    "Waits",
    "command",
    "extended",
    "recoded",
    "sent_fields",
    "stamped",
    "wire",
]


class Waits(Enum):
    """Which of the limits of ``Timeouts`` applies to a command.

    Examples:
        >>> Sale.waits, Poll.waits
        (<Waits.CARD: 'card'>, <Waits.SHORT: 'short'>)
    """

    SHORT = "short"
    """The terminal answers at once, without a person."""
    REPORT = "report"
    CARD = "card"
    """The command waits for a customer, reports progress and can be cancelled."""


class Reference(Enum):
    """The field by which a command identifies an earlier operation; the value is the field's name.

    Examples:
        >>> Void.refers_to, Refund.refers_to
        (<Reference.OPERATION_ID: 'operation_id'>, <Reference.AUTHORIZATION_CODE: 'authorization_code'>)
    """

    OPERATION_ID = "operation_id"
    AUTHORIZATION_CODE = "authorization_code"


@dataclass(frozen=True, slots=True)
class Simplified:
    """The order of the fields of a command and of its reply on the simplified wire, by their signed names."""

    request: tuple[str, ...] = ()
    """The fields after the code."""
    reply: tuple[str, ...] = ()
    """The fields after the function code, the response code and the response message."""
    flags: tuple[str, str] = ("False", "True")
    """How the request writes false and true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What holds for every command of one type, whatever the values of its fields."""

    code: int
    reply_type: type[Reply]
    """The type of a reply with the command's own code."""
    moves_money: bool = False
    """Whether it is a payment command."""
    waits: Waits = Waits.REPORT
    leaves_voucher: bool = False
    """Whether it can become the terminal's last voucher."""
    states_amount: bool = False
    """Whether an approval always has the amount."""
    recorded_as: int
    """The function code with which the terminal records it."""
    cloud_only: bool = False
    """Whether only a cloud can send it."""
    changes_nothing: bool = False
    """Whether it can be sent again if its reply was lost."""
    refers_to: Reference | None = None
    """How it identifies an earlier operation."""
    simplified: Simplified | None = None
    """``None``: the simplified wire has no such command."""

    @property
    def takes_card(self) -> bool:
        return self.waits is Waits.CARD


T = TypeVar("T")


class _Fact(Generic[T]):
    """One of a command's facts, as an attribute of the class and of its instances."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, command: Command[Any] | None, kind: type[Command[Any]]) -> T:
        fact: T = getattr(kind.facts if command is None else command.facts, self._name)
        return fact


class SentField(NamedTuple):
    """A field of a command, as it is sent."""

    name: str
    """The name in Python."""
    wire: str
    kind: Kind
    nullable: bool
    """Whether ``None`` is written as ``null``; otherwise it is left out."""
    check: Check | None
    shown: bool
    """``False``: it could identify a person, and is not shown."""


def wire(
    name: str,
    *,
    check: Check | None = None,
    default: Any = MISSING,
    nullable: bool = False,
    kw_only: bool = False,
    hash: bool | None = None,
    shown: bool = True,
) -> Any:
    """A field that is sent as ``name``. ``None`` is left out, or written as ``null`` if ``nullable``."""
    return field(
        default=default,
        kw_only=kw_only,
        hash=hash,
        repr=shown,
        metadata={"wire": name, "check": check, "nullable": nullable},
    )


@dataclass(frozen=True, slots=True)
class Command(Generic[R_co]):
    """The base class of all commands. ``R_co`` is the type of its reply. Its fields are checked when it is made.

    Examples:
        >>> command = Sale(25_000, "A1234")
        >>> command.code, command.moves_money
        (100, True)
    """

    facts: ClassVar[Facts]
    code = _Fact[int]()
    reply_type = _Fact[type[Reply]]()
    moves_money = _Fact[bool]()
    waits = _Fact[Waits]()
    takes_card = _Fact[bool]()
    leaves_voucher = _Fact[bool]()
    states_amount = _Fact[bool]()
    recorded_as = _Fact[int]()
    cloud_only = _Fact[bool]()
    changes_nothing = _Fact[bool]()
    refers_to = _Fact["Reference | None"]()
    simplified = _Fact["Simplified | None"]()

    date_time: str | None = field(default=None, kw_only=True, compare=False)
    """The register's time; ``None``: the time at which the command is sent."""

    def __post_init__(self) -> None:
        _check_time(self.date_time, "date_time")
        for item in sent_fields(type(self)):
            if item.check is not None:
                given = getattr(self, item.name)
                kept = item.check(given, item.name)
                if kept is not given:
                    object.__setattr__(self, item.name, kept)


_check_time = optional(text(1, 40))

K = TypeVar("K", bound=Command[Any])


@dataclass_transform(frozen_default=True, field_specifiers=(wire, field))
def command(
    code: int,
    *,
    reply: type[Reply],
    moves_money: bool = False,
    waits: Waits = Waits.REPORT,
    leaves_voucher: bool = False,
    states_amount: bool = False,
    recorded_as: int | None = None,
    cloud_only: bool = False,
    changes_nothing: bool = False,
    simplified: Simplified | None = None,
) -> Callable[[type[K]], type[K]]:
    """Declare a command. ``Facts`` explains the arguments; ``recorded_as`` is ``code`` by default."""

    def declare(cls: type[K]) -> type[K]:
        kind = extended(cls)
        names = [item.name for item in fields(kind)]
        kind.facts = Facts(
            code=code,
            reply_type=reply,
            moves_money=moves_money,
            waits=waits,
            leaves_voucher=leaves_voucher,
            states_amount=states_amount,
            recorded_as=code if recorded_as is None else recorded_as,
            cloud_only=cloud_only,
            changes_nothing=changes_nothing,
            refers_to=next((one for one in Reference if one.value in names), None),
            simplified=simplified,
        )
        return kind

    return declare


@dataclass_transform(frozen_default=True, field_specifiers=(wire, field))
def extended(cls: type[K]) -> type[K]:
    """Declare the command of the base class with more fields; its facts stay the same."""
    return dataclass(frozen=True, slots=True)(cls)


_RECODED: dict[tuple[type, int], Any] = {}


def recoded(kind: type[K], code: int) -> type[K]:
    """``kind`` with another code."""
    if code == kind.code:
        return kind
    if (kind, code) not in _RECODED:
        facts = replace(kind.facts, code=code, recorded_as=code)
        own = {"__slots__": (), "__doc__": kind.__doc__, "__module__": kind.__module__, "facts": facts}
        _RECODED[kind, code] = type(kind.__name__, (kind,), own)
    made: type[K] = _RECODED[kind, code]
    return made


_SENT: dict[type, tuple[SentField, ...]] = {}


def sent_fields(kind: type[Command[Any]]) -> tuple[SentField, ...]:
    """A command's own fields in the order of the wire, which has the code before them and the time after them."""
    found = _SENT.get(kind)
    if found is None:
        hints = get_type_hints(kind)
        found = _SENT[kind] = tuple(
            SentField(item.name, kind=_kind(hints[item.name]), shown=item.repr, **item.metadata)
            for item in fields(kind)
            if item.metadata
        )
    return found


def _kind(hint: Any) -> Kind:
    """How a field of type ``hint`` is written on the simplified wire, where every value is text."""
    held = get_args(hint) or (hint,)
    return Kind.INTEGER if int in held else Kind.BOOLEAN if bool in held else Kind.TEXT


def stamped(command: K, text: str) -> K:
    """``command`` with ``text`` as its time, unless it already has one."""
    return command if command.date_time is not None else replace(command, date_time=text)
