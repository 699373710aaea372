"""Single requests to a server: what it answers, and what the app has been asked."""

import http.client
import json
from dataclasses import dataclass

from .process import Failed


@dataclass(frozen=True)
class Answer:
    status: int
    # By lower-case names.
    fields: dict[str, str]
    # Bytes of the body, and of all header fields as they were sent.
    body: int
    head: int


def get(port: int, path: str, fields: dict | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": "bench.example", **(fields or {})})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"GET {path}: {error}") from error
    finally:
        connection.close()
    told = answer.getheaders()
    head = sum(len(name) + len(value) + len(": \r\n") for name, value in told)
    return Answer(answer.status, {name.lower(): value for name, value in told}, len(body), head)


def count(app: int) -> dict:
    """Reads and writes that have come to the app."""
    connection = http.client.HTTPConnection("127.0.0.1", app, timeout=10)
    try:
        connection.request("GET", "/count")
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Failed(f"the app does not count: {error}") from error
    finally:
        connection.close()
