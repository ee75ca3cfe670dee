"""A web page that looks and behaves like the virtual terminal. On it a person acts as the customer, and as the cable.

::

    from getnet_pos.simulator import ScreenServer, SerialServer, VirtualTerminal

    with SerialServer(VirtualTerminal()) as server, ScreenServer(server) as screen:
        print("open", screen.url, "to pay the sales of a register on", server.device)
        server.serve_forever()
"""

from .server import ScreenServer

__all__ = ["ScreenServer"]
