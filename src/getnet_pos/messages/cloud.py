"""What the cloud is told of a terminal, and what it answers (docs/protocol.md, "Cloud-to-Cloud"). Validates only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidType, InvalidValue
from ._checks import check_text
from .replies import Reply

__all__ = ["CloudResult", "KeyPos"]


@dataclass(frozen=True, slots=True)
class KeyPos:
    """The triplet that names one terminal in the cloud."""

    id_terminal: str
    """Getnet's alphanumeric id of the terminal, usually 8 characters."""
    id_sucursal: int
    """The merchant's branch. Text of digits is taken too: some lists write it with leading zeros."""
    serial_number: str
    """The serial number on the label at the back."""

    def __post_init__(self) -> None:
        for name in ("id_terminal", "serial_number"):
            value = check_text(getattr(self, name), name, 1, 20)
            if not (value.isascii() and value.isalnum()):
                raise InvalidValue(f"{name} must be letters and digits")
        branch = self.id_sucursal
        if isinstance(branch, str) and branch.isascii() and branch.isdigit():
            object.__setattr__(self, "id_sucursal", int(branch[:20]))
        elif not isinstance(branch, int) or isinstance(branch, bool):
            raise InvalidType(f"id_sucursal must be an int or digits, not {type(branch).__name__}")
        if not 0 < self.id_sucursal < 10**10:
            raise InvalidValue("id_sucursal must have from 1 to 10 digits, and not be 0")

    def __str__(self) -> str:
        return f"{self.id_terminal}/{self.id_sucursal}/{self.serial_number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudResult:
    """One answer of the cloud, or one webhook body.

    ``code`` speaks of the exchange alone: 1 finished or sent, 2 in process, 0 an error. Only ``reply``, where there is
    one, says whether money moved.
    """

    code: int
    status: str | None = None
    message: str | None = None
    id_pos_txs: int | None = None
    """The cloud's own number of the transaction."""
    custom_id: str | None = None
    """The merchant's own id, as it was sent."""
    reply: Reply | None = None
    """The terminal's reply; ``None`` while there is none."""
    data: Any = field(default=None, repr=False, hash=False)
    """What came under ``data`` when it is not a terminal's reply."""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """What else came beside it, such as fields of the answer the library does not know."""

    @property
    def in_process(self) -> bool:
        """Whether the terminal is still at it."""
        return self.code == 2 or (self.code == 1 and self.reply is None and self.id_pos_txs is not None)
