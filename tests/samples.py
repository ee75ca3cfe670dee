"""Frames as terminals and registers send them, with invented identifiers, and what they mean.

They are made without the library: ``json`` writes the envelope and ``hashlib`` signs it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import reduce

from getnet_pos.messages import (
    Ack,
    CancelReply,
    CloseBatchReply,
    CommandMessage,
    DefaultSaleTypeReply,
    DetailsReply,
    DuplicateReply,
    GenericReply,
    LastVoucherReply,
    MainPosDataReply,
    MultiCommerceRefundReply,
    MultiCommerceSaleReply,
    MultiCommerceVoidReply,
    NormalModeReply,
    ParametersReply,
    PollReply,
    PreAuthorizationReply,
    Progress,
    ProgressCode,
    RefundReply,
    SaleReply,
    SalesBySellerReply,
    SaleType,
    SellerSale,
    SimReply,
    TipsReply,
    TipTotal,
    TotalsReply,
    VoidReply,
    Voucher,
)


def sign(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest().upper()


def signed(text: str) -> bytes:
    """The envelope around ``text``, as a terminal writes it."""
    return f'{{"JsonSerialized":{json.dumps(text, ensure_ascii=False)},"Sign":"{sign(text)}"}}'.encode()


def simplified(text: str) -> bytes:
    body = text.encode() + b"\x03"
    return b"\x02" + body + bytes([reduce(lambda a, b: a ^ b, body)])


SALE_TEXT = (
    '{"FunctionCode":100,"ResponseCode":0,"ResponseMessage":"Aprobado","CommerceCode":12983,"TerminalId":"80005000",'
    '"Ticket":"A12","AuthorizationCode":"1234","Amount":25000,"SharesNumber":0,"SharesAmount":0,'
    '"Last4Digits":"0447","OperationId":3,"CardType":"CR","AccountingDate":"2026-06-11 22:40:22","AccountNumber":"",'
    '"CardBrand":"VI","RealDate":"2026-06-11 22:40:22","EmployeeId":1,"Tip":0,"SaleType":0,"PosMode":1,'
    '"EntryMode":"16"}'
)
"""428 bytes; the frame around it has 589."""
SALE = signed(SALE_TEXT)
SALE_REPLY = SaleReply(
    function_code=100, response_code=0, response_message="Aprobado", commerce_code=12983, terminal_id="80005000",
    ticket="A12", authorization_code="1234", amount=25000, shares_number=0, shares_amount=0, last4_digits="0447",
    operation_id=3, card_type="CR", accounting_date="2026-06-11 22:40:22", account_number="", card_brand="VI",
    real_date="2026-06-11 22:40:22", employee_id=1, tip=0, sale_type=SaleType.SALE, pos_mode=1, entry_mode="16",
)  # fmt: skip

_HEAD = '"ResponseCode":0,"ResponseMessage":"Aprobado"'
_SETTLED = '"CommerceCode":12983,"TerminalId":"80005000","AuthorizationCode":"123456","OperationId":31,"Success":true'
_ROW = SALE_TEXT.replace('"OperationId":3', '"OperationId":4')
_APPROVED = {"response_code": 0, "response_message": "Aprobado"}
_DONE = {
    **_APPROVED, "commerce_code": 12983, "terminal_id": "80005000", "authorization_code": "123456", "operation_id": 31,
    "success": True,
}  # fmt: skip
_VOUCHER = {name: getattr(SALE_REPLY, name) for name in Voucher.__dataclass_fields__ if name != "extra"}
_TOTALS = (
    "CreditSales", "DebitSales", "PrepaidSales", "QrCreditSales", "QrDebitSales", "QrPrepaidSales", "CashSales",
    "CashSalesOff", "CreditAdvances", "CancelCredit", "CancelDebit", "CancelPrepaid", "CancelQrCredit", "CancelQrDebit",
    "CancelQrPrepaid", "Tips", "Returns",
)  # fmt: skip


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


REPLIES = {
    "sale": (SALE_TEXT, SALE_REPLY),
    "sale, newer firmware": (
        SALE_TEXT[:-1]
        + ',"Cashback":0,"TransToken":"8000500012983320260611224022","ExpiryDate":"3012","Aid":"A0000000041010",'
        '"CommerceRut":"11111111-1","CommerceName":"Café Ñandú","BranchName":"Centro","BranchAddress":"Calle 1",'
        '"BranchDistrict":"Ñuñoa","Bin":"41111111"}',
        SaleReply(**{
            **_VOUCHER, "cashback": 0, "trans_token": "8000500012983320260611224022", "expiry_date": "3012",
            "aid": "A0000000041010", "commerce_rut": "11111111-1", "commerce_name": "Café Ñandú",
            "branch_name": "Centro", "branch_address": "Calle 1", "branch_district": "Ñuñoa", "bin": "41111111",
        }),
    ),
    "sale, timed out": (
        '{"FunctionCode":100,"ResponseCode":1006,"ResponseMessage":"Tiempo de espera excedido","CommerceCode":0,'
        '"TerminalId":"","Ticket":null,"AuthorizationCode":"","Amount":1300,"OperationId":0,"PosMode":0}',
        SaleReply(
            function_code=100, response_code=1006, response_message="Tiempo de espera excedido", commerce_code=0,
            terminal_id="", authorization_code="", amount=1300, operation_id=0, pos_mode=0,
        ),
    ),
    "sale, camelCase": (
        '{"functionCode":100,"responseCode":0,"responseMessage":"Aprobado","amount":1300,"last4Digits":"5547",'
        '"operationId":3,"saleType":1,"aid":"A0000000041010"}',
        SaleReply(
            function_code=100, **_APPROVED, amount=1300, last4_digits="5547", operation_id=3,
            sale_type=SaleType.SALE_AFFECTS, aid="A0000000041010",
        ),
    ),
    "last voucher, keys in alphabetical order": (
        '{"AccountingDate":"2025-12-18 00:25:02","Amount":500,"AuthorizationCode":"250349","CardBrand":"VI",'
        '"CardType":"DB","CommerceCode":12983,"FunctionCode":101,"Last4Digits":690,"PosMode":1,'
        '"RealDate":"2025-12-18 07:18:25","ResponseCode":0,"ResponseMessage":"Aprobado","SaleType":0,"SharesNumber":0,'
        '"TerminalId":"80005000"}',
        LastVoucherReply(
            function_code=101, **_APPROVED, accounting_date="2025-12-18 00:25:02", amount=500,
            authorization_code="250349", card_brand="VI", card_type="DB", commerce_code=12983, last4_digits="0690",
            pos_mode=1, real_date="2025-12-18 07:18:25", sale_type=SaleType.SALE, shares_number=0,
            terminal_id="80005000",
        ),
    ),
    "void": ('{"FunctionCode":102,' + f"{_HEAD},{_SETTLED}}}", VoidReply(function_code=102, **_DONE)),
    "close": (
        '{"FunctionCode":103,' + _HEAD + ',"CommerceCode":12983,"TerminalId":"80005000","Success":true}',
        CloseBatchReply(function_code=103, **_APPROVED, commerce_code=12983, terminal_id="80005000", success=True),
    ),
    "totals": (
        '{"FunctionCode":104,' + _HEAD + ',"TxCount":3,"TxTotal":75000'
        + "".join(f',"Count{name}":{number},"Total{name}":{number * 25000}' for number, name in enumerate(_TOTALS))
        + "}",
        TotalsReply(
            function_code=104, **_APPROVED, tx_count=3, tx_total=75000,
            **{f"count_{_snake(name)}": number for number, name in enumerate(_TOTALS)},
            **{f"total_{_snake(name)}": number * 25000 for number, name in enumerate(_TOTALS)},
        ),
    ),
    "details": (
        '{"FunctionCode":105,' + f'{_HEAD},"SaleDetails":[{SALE_TEXT},{_ROW}]}}',
        DetailsReply(
            function_code=105, **_APPROVED,
            sale_details=(Voucher(**_VOUCHER), Voucher(**{**_VOUCHER, "operation_id": 4})),
        ),
    ),
    "details of an empty batch": (
        '{"FunctionCode":105,' + _HEAD + ',"SaleDetails":[]}', DetailsReply(function_code=105, **_APPROVED)
    ),
    "poll": (
        '{"FunctionCode":106,' + _HEAD + ',"Connected":true}',
        PollReply(function_code=106, **_APPROVED, connected=True),
    ),
    "normal mode": (
        '{"FunctionCode":107,' + _HEAD + ',"ChangeToNormalMode":false}',
        NormalModeReply(function_code=107, **_APPROVED, change_to_normal_mode=False),
    ),
    "refund": (
        '{"FunctionCode":108,' + f'{_HEAD},{_SETTLED},"DateTime":"2026-06-11 22:40:22"}}',
        RefundReply(function_code=108, **_DONE, date_time="2026-06-11 22:40:22"),
    ),
    "duplicate": (
        SALE_TEXT.replace('"FunctionCode":100', '"FunctionCode":109').replace('"0447"', "447"),
        DuplicateReply(**{**_VOUCHER, "function_code": 109}),
    ),
    "sales by seller": (
        '{"FunctionCode":110,' + _HEAD + ',"SaleDetails":[{"Date":"2026-06-11","EmployeeId":1,"Ticket":"A1",'
        '"Amount":500,"Nc":"1","Tc":"CR","Tx":"VTA"},{"Date":"2026-06-11","EmployeeId":1,"Ticket":"A2","Amount":700}]}',
        SalesBySellerReply(
            function_code=110, **_APPROVED,
            sale_details=(
                SellerSale(date="2026-06-11", employee_id=1, ticket="A1", amount=500, nc="1", tc="CR", tx="VTA"),
                SellerSale(date="2026-06-11", employee_id=1, ticket="A2", amount=700),
            ),
        ),
    ),
    "tips": (
        '{"FunctionCode":111,' + _HEAD + ',"TipReport":[{"EmployeeId":1,"Tx":3,"Sales":75000,"Tips":7500}]}',
        TipsReply(
            function_code=111, **_APPROVED, tip_report=(TipTotal(employee_id=1, tx=3, sales=75000, tips=7500),)
        ),
    ),
    "default sale type": (
        '{"FunctionCode":113,' + _HEAD + ',"SaleType":9}',
        DefaultSaleTypeReply(function_code=113, **_APPROVED, sale_type=9),
    ),
    "parameters": (
        '{"FunctionCode":114,' + _HEAD + ',"ApplicationName":"Pagos","Version":"1.0.3","So":"Android",'
        '"EmvModule":"7.1","Sn":"SN0001","Model":"N950","CommunicationType":"WIFI","PrimaryIp":"192.0.2.1","SecondIp":"192.0.2.2",'
        '"Company":"X","Apn":"internet","SimId":"8956","SucursalId":"12983","TerminalId":"80005000","Tip":true,'
        '"Ticket":true,"Employee":false,"VoucherAsTicket":false,"Return":true,"IssuerQuotas":true,'
        '"MinimumIssuerQuotas":2,"MaximumIssuerQuotas":48,"TradeQuotas":false,"MinimumTradeQuotas":2,'
        '"MaximumTradeQuotas":12,"MinimumAmount":50}',
        ParametersReply(
            function_code=114, **_APPROVED, application_name="Pagos", version="1.0.3", so="Android", emv_module="7.1",
            sn="SN0001", model="N950", communication_type="WIFI", primary_ip="192.0.2.1", second_ip="192.0.2.2",
            company="X", apn="internet", sim_id="8956", sucursal_id="12983", terminal_id="80005000", tip=True,
            ticket=True, employee=False, voucher_as_ticket=False, return_=True, issuer_quotas=True,
            minimum_issuer_quotas=2, maximum_issuer_quotas=48, trade_quotas=False, minimum_trade_quotas=2,
            maximum_trade_quotas=12, minimum_amount=50,
        ),
    ),
    "SIM": (
        '{"FunctionCode":115,' + _HEAD + ',"Connected":true,"Company":"X","ApnSim":"a","ApnConfig":"b","SimId":"8956",'
        '"SimProvider":"P","SimUsed":"1","BatteryPercentage":87,"IntensitySignal":"4","Rssi":"-71","SimStatus":"OK",'
        '"RadioLevel":"3","Imei":"490154203237518","NetworkConnection":"LTE","NetworksEnabled":"LTE/3G","Lac":"1",'
        '"CallId":"2","NetworkType":"LTE","NetworkPlmn":"73001","SimPlmn":"73001","NetworkLog":""}',
        SimReply(
            function_code=115, **_APPROVED, connected=True, company="X", apn_sim="a", apn_config="b", sim_id="8956",
            sim_provider="P", sim_used="1", battery_percentage=87, intensity_signal="4", rssi="-71", sim_status="OK",
            radio_level="3", imei="490154203237518", network_connection="LTE", networks_enabled="LTE/3G", lac="1",
            call_id="2", network_type="LTE", network_plmn="73001", sim_plmn="73001", network_log="",
        ),
    ),
    "cancel": ('{"FunctionCode":116,' + _HEAD + "}", CancelReply(function_code=116, **_APPROVED)),
    "multi-commerce sale": (
        SALE_TEXT[:-1].replace('"FunctionCode":100', '"FunctionCode":120')
        + ',"hostRRN":"RRN1","mti":"0210","de11":"000031","de12":"224022","de13":"0611"}',
        MultiCommerceSaleReply(**{
            **_VOUCHER, "function_code": 120, "host_rrn": "RRN1", "mti": "0210", "de11": "000031", "de12": "224022",
            "de13": "0611",
        }),
    ),
    "multi-commerce void": (
        '{"FunctionCode":122,'
        + f'{_HEAD},{_SETTLED},"HostRRN":"RRN1","Mti":"0210","DE11":"31","De12":"1","de13":"2"}}',
        MultiCommerceVoidReply(
            function_code=122, **_DONE, host_rrn="RRN1", mti="0210", de11="31", de12="1", de13="2"
        ),
    ),
    "multi-commerce refund": (
        '{"FunctionCode":123,' + f'{_HEAD},{_SETTLED},"DateTime":"2026-06-11 22:40:22","hostRRN":"RRN1"}}',
        MultiCommerceRefundReply(
            function_code=123, **_DONE, date_time="2026-06-11 22:40:22", host_rrn="RRN1"
        ),
    ),
    "main POS data": (
        '{"FunctionCode":124,' + _HEAD + ',"LegalName":"Café Ñandú SpA","CommerceNumber":"12983",'
        '"CommerceRut":"11111111-1","BranchNumber":"1","BranchName":"Centro","LittleBranchName":"C",'
        '"BranchAddress":"Calle 1","BranchDistrict":"Ñuñoa","TerminaId":"80005000","SerialNumber":"SN0001"}',
        MainPosDataReply(
            function_code=124, **_APPROVED, legal_name="Café Ñandú SpA", commerce_number="12983",
            commerce_rut="11111111-1", branch_number="1", branch_name="Centro", little_branch_name="C",
            branch_address="Calle 1", branch_district="Ñuñoa", terminal_id="80005000", serial_number="SN0001",
        ),
    ),
    "pre-authorization": (
        SALE_TEXT.replace('"FunctionCode":100', '"FunctionCode":130'),
        PreAuthorizationReply(**{**_VOUCHER, "function_code": 130}),
    ),
    "a terminal's own error": (
        '{"FunctionCode":0,"ResponseCode":0,"ResponseMessage":"Error durante el procesamiento"}',
        GenericReply(function_code=0, response_code=0, response_message="Error durante el procesamiento"),
    ),
    "a code without a type": (
        '{"FunctionCode":136,' + _HEAD + ',"NumberOfShift":1}',
        GenericReply(function_code=136, **_APPROVED, extra={"NumberOfShift": 1}),
    ),
}  # fmt: skip
"""Signed texts and what they mean."""

OTHERS = {
    "progress": ('{"MessageCode":78,"MessageText":"Lectura de tarjetas"}',
                 Progress(ProgressCode.CARD_READING, "Lectura de tarjetas")),
    "progress with its function code": (
        '{"FunctionCode":112,"MessageCode":82,"MessageText":"Enviando transacción a Getnet"}',
        Progress(ProgressCode.SENDING, "Enviando transacción a Getnet")),
    "progress, an unknown code": ('{"FunctionCode":112,"MessageCode":99,"MessageText":"?"}', Progress(99, "?")),
    "progress, text only": ('{"FunctionCode":112,"Message":"Espere"}', Progress(None, "Espere")),
    "poll command": ('{"Command":106,"DateTime":"2024-01-01T00:00:00.000Z"}',
                     CommandMessage(106, {"DateTime": "2024-01-01T00:00:00.000Z"})),
    "sale command": (
        '{"Command":100,"Amount":1000,"TicketNumber":"A1","PrintOnPos":false,"SaleType":0,"SendMessage":false,'
        '"EmployeeId":1,"DateTime":"2024-01-01T00:00:00.000Z"}',
        CommandMessage(100, {
            "Amount": 1000, "TicketNumber": "A1", "PrintOnPos": False, "SaleType": 0, "SendMessage": False,
            "EmployeeId": 1, "DateTime": "2024-01-01T00:00:00.000Z"})),
    "multi-commerce void command": (
        '{"Command":122,"Amount":1000,"OriginalData":{"Mti":"0210","DE11":"1"},"CommerceData":null}',
        CommandMessage(122, {"Amount": 1000, "OriginalData": {"Mti": "0210", "DE11": "1"}, "CommerceData": None})),
}  # fmt: skip
"""Signed texts that are no replies."""

BARE = {
    "received": (b'{"Received":true}', Ack(True)),
    "not accepted": (b'{"Received":false}', Ack(False)),
    "received, camelCase": (b'{"received": true}', Ack(True)),
    "progress without a signature": (
        b'{"MessageCode":81,"MessageText":"PIN"}',
        Progress(ProgressCode.PIN_ENTRY, "PIN"),
    ),
}
"""Objects that are not signed."""

_PARTS = "0|Aprobado|12983|80005000"
SIMPLIFIED_SALE = simplified(
    f"100|{_PARTS}|A12|1234|25000|0|0|0447|3|CR|2026-06-11 22:40:22||VI|2026-06-11 22:40:22|1|0|0|1|0|"
)
SIMPLIFIED = {
    "simplified sale": (SIMPLIFIED_SALE, replace(SALE_REPLY, entry_mode=None, cashback=0)),
    "simplified duplicate": (
        simplified(f"109|{_PARTS}|A12|1234|25000|0|0|0447|3|CR|2026-06-11 22:40:22||VI|2026-06-11 22:40:22|1|0|0|1|0"),
        DuplicateReply(**{**_VOUCHER, "function_code": 109, "entry_mode": None, "cashback": 0})),
    "simplified void": (simplified(f"102|{_PARTS}|123456|31|True|"), VoidReply(function_code=102, **_DONE)),
    "simplified close": (
        simplified(f"103|{_PARTS}|True|"),
        CloseBatchReply(function_code=103, **_APPROVED, commerce_code=12983, terminal_id="80005000", success=True)),
    "simplified close, five parts": (
        simplified("103|0|Aprobado|12983|false|"),
        CloseBatchReply(function_code=103, **_APPROVED, commerce_code=12983, success=False)),
    "simplified details": (
        simplified("105|0|Aprobado|A1;25000|A2;700|"),
        DetailsReply(function_code=105, **_APPROVED, details_text="A1;25000|A2;700|")),
    "simplified refund": (
        simplified(f"108|{_PARTS}|123456|31|true|2026-06-11 22:40:22|"),
        RefundReply(function_code=108, **_DONE, date_time="2026-06-11 22:40:22")),
    "simplified decline": (
        simplified("100|1006|Operación cancelada|"),
        SaleReply(function_code=100, response_code=1006, response_message="Operación cancelada")),
    "simplified sale command": (
        simplified("100|15000|A1|true|1|1|"),
        CommandMessage(
            100, {"Amount": 15000, "TicketNumber": "A1", "PrintOnPos": True, "SaleType": 1, "EmployeeId": 1})),
    "simplified void command": (
        simplified("102|12|True|"), CommandMessage(102, {"OperationId": 12, "PrintOnPos": True})),
    "simplified close command": (simplified("103|"), CommandMessage(103, {})),
}  # fmt: skip

FRAMES = {
    **{name: (signed(text), message) for name, (text, message) in {**REPLIES, **OTHERS}.items()},
    **BARE,
    **SIMPLIFIED,
}
"""Every whole frame here, with the message in it."""
