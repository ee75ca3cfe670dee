"""Which terminals of a merchant can be driven through Cloud-to-Cloud: joins two lists by serial number.

The Active Payment Terminal API says which terminals a merchant owns; a register's configuration says which triplets it
drives through the cloud. Run it without arguments to see it against the simulator, or with a base URL, a merchant id
and a CSV file of ``id_terminal,id_sucursal,serial_number``; the token is then read from the variable GETNET_TOKEN.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from getnet_pos.equipment import EquipmentClient
from getnet_pos.messages.terminals import PaymentTerminal
from getnet_pos.simulator.equipment import EquipmentServer


@dataclass(frozen=True)
class CloudTerminal:
    """A triplet by which Cloud-to-Cloud knows a terminal."""

    id_terminal: str
    id_sucursal: str
    serial_number: str


@dataclass(frozen=True)
class Joined:
    """What both lists say: terminals in both, and those that only one of them has."""

    both: list[tuple[PaymentTerminal, CloudTerminal]]
    only_owned: list[PaymentTerminal]
    only_cloud: list[CloudTerminal]


def serial_key(serial_number: str) -> str:
    """A serial number as it can be compared: labels are typed by hand, in either case and with spaces."""
    return "".join(serial_number.split()).upper()


def join(owned: Iterable[PaymentTerminal], cloud: Iterable[CloudTerminal]) -> Joined:
    """Join by serial number. A terminal without one is in ``only_owned``; a triplet given twice joins twice."""
    by_serial: dict[str, list[CloudTerminal]] = {}
    for triplet in cloud:
        by_serial.setdefault(serial_key(triplet.serial_number), []).append(triplet)
    both: list[tuple[PaymentTerminal, CloudTerminal]] = []
    only_owned: list[PaymentTerminal] = []
    joined: set[str] = set()
    for terminal in owned:
        key = serial_key(terminal.payment_terminal_serial_number or "")
        found = by_serial.get(key, []) if key else []
        both += [(terminal, triplet) for triplet in found]
        if found:
            joined.add(key)
        else:
            only_owned.append(terminal)
    only_cloud = [triplet for key, triplets in by_serial.items() if key not in joined for triplet in triplets]
    return Joined(both, only_owned, only_cloud)


def show(joined: Joined) -> None:
    for terminal, triplet in joined.both:
        print(f"{triplet.id_terminal} {terminal.payment_terminal_serial_number} {terminal.payment_terminal_model}")
    for terminal in joined.only_owned:
        print(f"not in the cloud: {terminal.payment_terminal_serial_number} {terminal.payment_terminal_model}")
    for triplet in joined.only_cloud:
        print(f"not an active terminal of the merchant: {triplet.id_terminal} {triplet.serial_number}")


def main(arguments: list[str]) -> int:
    if not arguments:
        cloud = [
            CloudTerminal("80005000", "12983", "903191104705571440"),
            CloudTerminal("80005001", "12983", " 903191104705571442"),
            CloudTerminal("80005002", "12983", "SNPRUEBA1234"),
        ]
        with EquipmentServer() as server, EquipmentClient(server.base_url, token="any") as api:
            show(join(api.list_active_terminals("count-3"), cloud))
        return 0
    if len(arguments) != 3 or "GETNET_TOKEN" not in os.environ:
        print(__doc__, file=sys.stderr)
        return 2
    base_url, merchant_id, path = arguments
    with open(path, newline="", encoding="utf-8") as file:
        triplets = [
            CloudTerminal(*(row[name] for name in CloudTerminal.__match_args__)) for row in csv.DictReader(file)
        ]
    with EquipmentClient(base_url, token=os.environ["GETNET_TOKEN"]) as api:
        show(join(api.list_active_terminals(merchant_id), triplets))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
