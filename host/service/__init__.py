"""The till service: POS software in any language sells through it, over HTTP and WebSocket on the loopback (docs/till-service.md).

How it works. Calls (calls.py) are what clients may ask, each with its fields; HTTP routes, WebSocket methods and the OpenAPI document come
from that one table. The desk (desk.py) does them, in the event loop's thread. Behind it each reader is a station (station.py): one thread,
one till, one journal. What a client asks of a card is handed to the station's thread, and its result comes back to the loop; so a card that
is slow holds up its own reader and nothing else. Only server.py, websocket.py and door.py import aiohttp.
"""

__all__: list[str] = []
