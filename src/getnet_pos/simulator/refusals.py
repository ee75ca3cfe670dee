"""Why the virtual terminal does not do what it was asked, as the code and the Spanish words of its reply."""

from __future__ import annotations

from enum import Enum

__all__ = ["Declined", "Refusal"]


class Refusal(Enum):
    """A response code and its message.

    Only 1006 is known from real terminals, and the words of ``CANCELLED`` and ``MALFORMED``; the rest is made up.
    """

    DECLINED = (1001, "Rechazado")
    MALFORMED = (1002, "Mensaje mal formado")
    BUSY = (1003, "Terminal ocupado")
    NO_SALE_IN_PROGRESS = (1004, "No hay venta en curso")
    CANCELLED = (1005, "Operacion Cancelada")
    TIMED_OUT = (1006, "Tiempo de espera excedido")
    NO_VOUCHER = (1007, "Sin transacciones")
    NOT_FOUND = (1008, "Operacion no encontrada")
    ALREADY_VOIDED = (1009, "Operacion ya anulada")
    BATCH_CLOSED = (1010, "Operacion de un lote cerrado")
    ALREADY_REFUNDED = (1011, "Operacion con devolucion")
    TOO_MUCH = (1012, "Monto excede lo disponible")
    OTHER_AMOUNT = (1013, "Monto no coincide")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def message(self) -> str:
        return self.value[1]


class Declined(Exception):
    """The operation is refused, with this response code and message. Inside the simulator only."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    @classmethod
    def because(cls, refusal: Refusal) -> Declined:
        return cls(refusal.code, refusal.message)
