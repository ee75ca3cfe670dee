"""Why the virtual terminal refuses a command, as the response code and the Spanish message of its reply."""

from __future__ import annotations

from enum import Enum

__all__ = ["Declined", "Refusal"]


class Refusal(Enum):
    """The response code and message of a refusal.

    The codes 21, 99 and 1003 to 1006, and the messages of ``CANCELLED`` and ``MALFORMED``, are known from real
    terminals. The others are invented; invented codes start at 2001.

    Examples:
        >>> from getnet_pos.simulator import Refusal
        >>> pos.void(999).response_code == Refusal.NOT_FOUND.code
        True
    """

    DECLINED = (2001, "Rechazado")
    MALFORMED = (2002, "Mensaje mal formado")
    BUSY = (2003, "Terminal ocupado")
    NO_SALE_IN_PROGRESS = (2004, "No hay venta en curso")
    CANCELLED = (1006, "Operacion Cancelada")
    TIMED_OUT = (1006, "Tiempo de espera excedido")
    COVER_OPEN = (1003, "Tapa de impresora abierta")
    NO_PAPER = (1004, "Sin papel")
    PAPER_JAM = (1005, "Papel atascado")
    NO_VOUCHER = (99, "Sin transacciones")
    NOT_FOUND = (21, "Operacion no encontrada")
    ALREADY_VOIDED = (2009, "Operacion ya anulada")
    BATCH_CLOSED = (2010, "Operacion de un lote cerrado")
    ALREADY_REFUNDED = (2011, "Operacion con devolucion")
    TOO_MUCH = (2012, "Monto excede lo disponible")
    OTHER_AMOUNT = (2013, "Monto no coincide")

    @property
    def code(self) -> int:
        """The response code."""
        return self.value[0]

    @property
    def message(self) -> str:
        """The response message."""
        return self.value[1]


class Declined(Exception):
    """The operation is refused with this response code and message. Only raised within the simulator."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    @classmethod
    def because(cls, refusal: Refusal) -> Declined:
        return cls(refusal.code, refusal.message)
