from ..messages.terminals import TerminalList

__all__ = ["read_terminals"]

def read_terminals(body: bytes | bytearray, *, strict: bool = False) -> TerminalList: ...
