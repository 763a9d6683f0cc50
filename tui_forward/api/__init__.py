"""The library: forwards for programs and tests.

    import tui_forward

    with tui_forward.forward("svc/postgres", 5432, namespace="shop") as database:
        connect(database.host, database.port)

The engine runs in a thread of this process, or in the user's engine process on request. Imports
neither Textual nor gRPC.
"""

from tui_forward.api.active_forward import ActiveForward as ActiveForward
from tui_forward.api.active_forward import AsyncActiveForward as AsyncActiveForward
from tui_forward.api.port_forward import PortForward as PortForward
from tui_forward.api.port_forward import PortForwards as PortForwards
from tui_forward.api.port_forward import forward as forward
from tui_forward.api.port_forward import forward_all as forward_all
