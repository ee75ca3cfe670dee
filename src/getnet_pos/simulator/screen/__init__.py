"""A page that looks and behaves like the virtual terminal: a person taps there what a customer and a cable do.

::

    from getnet_pos.simulator import ScreenServer, SerialServer, VirtualTerminal

    with SerialServer(VirtualTerminal()) as server, ScreenServer(server) as screen:
        print("open", screen.url, "and pay what a register sells on", server.device)
        server.serve_forever()
"""

from .server import ScreenServer

__all__ = ["ScreenServer"]
