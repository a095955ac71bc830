"""What h11 takes from raw connections. Argument: the file with the connections, one base64 text each.

Prints the requests that were whole: method, target, body. The reply is one that no CONNECT and no upgrade turns into a tunnel.
"""

import base64
import json
import sys
from pathlib import Path

import h11


def taken(data):
    """The whole requests of one connection, until it is refused, ends, or waits for more."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    found = []
    try:
        while isinstance(request := connection.next_event(), h11.Request):
            body = b""
            while isinstance(event := connection.next_event(), h11.Data):
                body += event.data
            if not isinstance(event, h11.EndOfMessage):
                break
            found.append([request.method.decode(), request.target.decode("latin-1"), body.decode("latin-1")])
            connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                break
            connection.start_next_cycle()
    except h11.RemoteProtocolError:
        pass
    return found


print(json.dumps([taken(base64.b64decode(text)) for text in json.loads(Path(sys.argv[1]).read_text())]))
