"""The replies of the virtual terminal, as plain wire objects and as text of both wires (docs/protocol.md, "Replies").

It only formats: the facts come from the ledger, and the decisions are made elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..codec import envelope, frame_simplified
from ..codec.json_text import dumps
from ..messages import CATALOGUE, DetailsReport
from ..messages.declaring import Simplified
from .behaviour import Behaviour, Serialized
from .ledger import Entry, EntryKind

__all__ = [
    "PROGRESS_TEXTS",
    "Identity",
    "details",
    "details_text",
    "host_data",
    "main_pos_data",
    "parameters",
    "progress",
    "sales_by_seller",
    "settled",
    "signed",
    "sim",
    "simplified",
    "tips",
    "totals",
    "voucher",
    "voucher_with_number",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The terminal's numbers, and its merchant.

    Examples:
        >>> from getnet_pos.simulator import Identity, VirtualTerminal
        >>> VirtualTerminal(identity=Identity(terminal_id="80005001")).identity.terminal_id
        '80005001'
    """

    terminal_id: str = "80005000"
    serial_number: str = "SNPRUEBA1234"
    commerce_code: int = 12983
    commerce_rut: str = "76000000-0"
    legal_name: str = "Comercio de Prueba SpA"
    branch_number: str = "12983"
    branch_name: str = "Sucursal de Prueba"
    branch_address: str = "Calle de Prueba 123"
    branch_district: str = "Santiago"


PROGRESS_TEXTS = {
    78: "Lectura de tarjetas",
    79: "Confirmación de monto",
    80: "Ingreso de cuotas",
    81: "Ingreso de PIN",
    82: "Enviando transacción a Getnet",
    83: "Ingreso de propina",
    84: "Ingreso de vuelto",
}

Fields = dict[str, Any]

# ------------------------------------------------------------------------------------------------------------ vouchers


def voucher(entry: Entry, identity: Identity) -> Fields:
    """The fields of a sale's reply. A void names the operation it annulled: that is what the register asked for."""
    annulled = entry.kind is EntryKind.VOID
    operation_id = entry.refers_to if annulled else entry.operation_id
    digits = "".join(digit for digit in entry.real_date if digit.isdigit())
    return {
        "CommerceCode": identity.commerce_code,
        "TerminalId": identity.terminal_id,
        "Ticket": entry.ticket,
        "AuthorizationCode": entry.authorization_code,
        "Amount": entry.amount,
        "SharesNumber": entry.installments,
        "SharesAmount": entry.amount // entry.installments if entry.installments else 0,
        "Last4Digits": entry.card.last4,
        "OperationId": operation_id,
        "CardType": entry.card.type,
        "AccountingDate": entry.real_date,
        "AccountNumber": "",
        "CardBrand": entry.card.brand,
        "RealDate": entry.real_date,
        "EmployeeId": entry.employee_id,
        "Tip": entry.tip,
        "SaleType": entry.sale_type,
        "PosMode": 1,
        "Cashback": 0,
        "TransToken": f"{identity.terminal_id}{identity.commerce_code:05d}{entry.operation_id % 10}{digits}",
        "ExpiryDate": entry.card.expiry,
        "EntryMode": "05",
        "Aid": entry.card.aid,
        "CommerceRut": entry.commerce_rut or identity.commerce_rut,
        "CommerceName": identity.legal_name,
        "BranchName": identity.branch_name,
        "BranchAddress": identity.branch_address,
        "BranchDistrict": identity.branch_district,
        "Bin": entry.card.bin,
    }


def voucher_with_number(entry: Entry, identity: Identity) -> Fields:
    """The fields of a last voucher or a duplicate, whose last digits are a number: leading zeros are lost.

    It also has the further fields of the operation's own reply.
    """
    fields = {**voucher(entry, identity), "Last4Digits": int(entry.card.last4)}
    if entry.is_return or entry.kind is EntryKind.RELEASE:
        fields["Success"] = True
    if entry.kind is EntryKind.REFUND:
        fields["DateTime"] = entry.real_date
    return fields


def settled(entry: Entry, identity: Identity) -> Fields:
    """The fields of the reply to a void, a refund or a release."""
    names = ("CommerceCode", "TerminalId", "AuthorizationCode", "OperationId")
    fields = voucher(entry, identity)
    return {**{name: fields[name] for name in names}, "Success": True}


def host_data(entry: Entry) -> Fields:
    """The further fields of multi-commerce replies, with the host's identification of the operation."""
    digits = "".join(digit for digit in entry.real_date if digit.isdigit())
    return {
        "hostRRN": f"{entry.operation_id:012d}",
        "mti": "0210",
        "de11": f"{entry.operation_id % 1_000_000:06d}",
        "de12": digits[8:],
        "de13": digits[4:8],
    }


# ------------------------------------------------------------------------------------------------------------- reports

_CARD_TYPES = {"CR": "Credit", "DB": "Debit", "PR": "Prepaid"}
_TOTALS = (
    "CreditSales", "DebitSales", "PrepaidSales", "QrCreditSales", "QrDebitSales", "QrPrepaidSales", "CashSales",
    "CashSalesOff", "CreditAdvances", "CancelCredit", "CancelDebit", "CancelPrepaid", "CancelQrCredit", "CancelQrDebit",
    "CancelQrPrepaid", "Tips", "Returns",
)  # fmt: skip


def totals(entries: Iterable[Entry]) -> Fields:
    """Counts and sums of the operations that moved money; ``TxTotal`` is charges less voids and refunds."""
    moved = [entry for entry in entries if entry.is_charge or entry.is_return]
    counts: dict[str, int] = dict.fromkeys(_TOTALS, 0)
    sums: dict[str, int] = dict.fromkeys(_TOTALS, 0)
    for entry in moved:
        for name, amount in _shares(entry):
            counts[name] += 1
            sums[name] += amount
    total = sum(entry.amount * (entry.is_charge - entry.is_return) for entry in moved)
    result = {"TxCount": len(moved), "TxTotal": total}
    for name in _TOTALS:
        result[f"Count{name}"], result[f"Total{name}"] = counts[name], sums[name]
    return result


def _shares(entry: Entry) -> Iterable[tuple[str, int]]:
    card = _CARD_TYPES[entry.card.type]
    if entry.is_charge:
        yield f"{card}Sales", entry.amount
    elif entry.kind is EntryKind.VOID:
        yield f"Cancel{card}", entry.amount
    else:
        yield "Returns", entry.amount
    if entry.tip:
        yield "Tips", entry.tip


def details(entries: Iterable[Entry], identity: Identity) -> list[Fields]:
    """A row for each operation, with its own function code."""
    approved = {"ResponseCode": 0, "ResponseMessage": "Aprobado"}
    return [{"FunctionCode": entry.function_code, **approved, **voucher(entry, identity)} for entry in entries]


def details_text(rows: Iterable[Fields]) -> str:
    """The rows for the simplified wire. The format of real terminals is not public."""
    names = ("OperationId", "FunctionCode", "Ticket", "Amount", "AuthorizationCode", "RealDate")
    return ";".join(",".join(str(row[name]) for name in names) for row in rows)


def sales_by_seller(entries: Iterable[Entry]) -> list[Fields]:
    """A row for each charge. The meaning of ``Nc``, ``Tc`` and ``Tx`` on real terminals is not public."""
    return [
        {
            "Date": entry.real_date,
            "EmployeeId": entry.employee_id,
            "Ticket": entry.ticket,
            "Amount": entry.amount,
            "Nc": str(entry.operation_id),
            "Tc": entry.card.type,
            "Tx": str(entry.function_code),
        }
        for entry in entries
    ]


def tips(charges: Iterable[Entry]) -> list[Fields]:
    """A row for each employee, in the order of their numbers."""
    by_employee: dict[int, list[Entry]] = {}
    for entry in charges:
        by_employee.setdefault(entry.employee_id, []).append(entry)
    return [
        {
            "EmployeeId": employee,
            "Tx": str(len(entries)),
            "Sales": sum(entry.amount for entry in entries),
            "Tips": sum(entry.tip for entry in entries),
        }
        for employee, entries in sorted(by_employee.items())
    ]


def main_pos_data(identity: Identity) -> Fields:
    return {
        "LegalName": identity.legal_name,
        "CommerceNumber": str(identity.commerce_code),
        "CommerceRut": identity.commerce_rut,
        "BranchNumber": identity.branch_number,
        "BranchName": identity.branch_name,
        "LittleBranchName": identity.branch_name[:12],
        "BranchAddress": identity.branch_address,
        "BranchDistrict": identity.branch_district,
        "TerminalId": identity.terminal_id,
        "SerialNumber": identity.serial_number,
    }


def parameters(identity: Identity) -> Fields:
    return {
        "ApplicationName": "Getnet",
        "Version": "1.11",
        "So": "Android 10",
        "EmvModule": "1.0",
        "Sn": identity.serial_number,
        "Model": "VIRTUAL",
        "CommunicationType": "WIFI",
        "PrimaryIp": "192.0.2.1",
        "SecondIp": "192.0.2.2",
        "Company": "VIRTUAL",
        "Apn": "apn.example",
        "SimId": "8956000000000000000",
        "SucursalId": identity.branch_number,
        "TerminalId": identity.terminal_id,
        "Tip": True,
        "Ticket": True,
        "Employee": True,
        "VoucherAsTicket": False,
        "Return": True,
        "IssuerQuotas": False,
        "MinimumIssuerQuotas": 0,
        "MaximumIssuerQuotas": 0,
        "TradeQuotas": False,
        "MinimumTradeQuotas": 0,
        "MaximumTradeQuotas": 0,
        "MinimumAmount": 1,
    }


def sim() -> Fields:
    return {
        "Connected": True,
        "Company": "VIRTUAL",
        "ApnSim": "apn.example",
        "ApnConfig": "apn.example",
        "SimId": "8956000000000000000",
        "SimProvider": "VIRTUAL",
        "SimUsed": "1",
        "BatteryPercentage": 87,
        "IntensitySignal": "4",
        "Rssi": "-70",
        "SimStatus": "READY",
        "RadioLevel": "4",
        "Imei": "000000000000000",
        "NetworkConnection": "LTE",
        "NetworksEnabled": "LTE",
        "Lac": "0",
        "CallId": "0",
        "NetworkType": "LTE",
        "NetworkPlmn": "73001",
        "SimPlmn": "73001",
        "NetworkLog": "",
    }


# --------------------------------------------------------------------------------------------------------------- wires


def progress(code: int) -> Fields:
    return {"FunctionCode": 112, "MessageCode": code, "MessageText": PROGRESS_TEXTS.get(code, "")}


def signed(fields: Fields, behaviour: Behaviour, *, wrong_signature: bool = False) -> bytes:
    """A signed frame with ``fields``."""
    text = dumps(_camel(fields) if behaviour.camel_case else fields).decode()
    if behaviour.serialized is Serialized.DOUBLE:
        text = dumps(text).decode()
    frame = envelope(text)
    # The signature is the last text in the frame, and never contains an X.
    sign = b"X" * 64 if wrong_signature else frame[-66:-2]
    if behaviour.serialized is Serialized.OBJECT:
        return b'{"JsonSerialized":%b,"Sign":"%b"}' % (text.encode(), sign)
    return b'%b%b"}' % (frame[:-66], sign)


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _camel(item) for name, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, list) else value


def simplified(command: int, fields: Mapping[str, Any], *, wrong_checksum: bool = False) -> bytes:
    """A simplified frame in reply to ``command``; a refusal contains only its code and message."""
    parts = [fields.get(name) for name in ("FunctionCode", "ResponseCode", "ResponseMessage")]
    if fields.get("ResponseCode") == 0:
        places = CATALOGUE.facts(command).simplified or Simplified()
        parts += [fields.get(name) for name in places.reply if name != "DetailsText"]
    text = "|".join("" if part is None else str(part) for part in parts) + "|"
    if command == DetailsReport.code and fields.get("ResponseCode") == 0:
        text += details_text(fields.get("SaleDetails", ()))
    frame = frame_simplified(text)
    return frame[:-1] + bytes([frame[-1] ^ 0xFF]) if wrong_checksum else frame
