"""Lists the terminals of a cloud account. The format of the answer is not public."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..codec.strict_json import parse
from ..errors import ApiError, InvalidValue, MalformedFrame, MalformedResponse
from ..logs import logger
from ..messages import KeyPos
from ..messages.checks import check_integer
from .cloud_calls import Cloud, call
from .effects import Flow, Request, Response
from .http_calls import Secret, clean, json_body, refuse

__all__ = ["list_cloud_terminals"]

log = logger("getnet_pos.cloud")

_LONGEST_LIST = 64 << 20


def list_cloud_terminals(cloud: Cloud, branch: int | None, timeout: float) -> Flow[list[KeyPos]]:
    """The terminals of ``branch``, or all of them. Any answer with the three values of a terminal is accepted.

    The documented path is next to ``/postxs``; if it is not found there, the path below ``/postxs`` is tried.
    """
    query = "" if branch is None else f"?idsucursal={check_integer(branch, 'branch', 1, 10**10 - 1)}"
    root = cloud.base_url.rpartition("/")[0]
    # Without a path, what stands before the last slash is no address: the token would go to another host.
    has_path = not root.endswith("/")
    response, token = yield from _asked(cloud, root if has_path else cloud.base_url, query, timeout)
    if response.status == 404 and has_path:
        response, token = yield from _asked(cloud, cloud.base_url, query, timeout)
    if response.status != 200:
        refuse(response, "the list of terminals", (token,))
    return _listed(response, token)


def _asked(cloud: Cloud, address: str, query: str, timeout: float) -> Flow[tuple[Response, Secret]]:
    request = Request("GET", f"{address}/posdata{query}", cloud.headers, timeout=timeout, max_body=_LONGEST_LIST)
    return (yield from call(cloud, request))


def _listed(response: Response, token: Secret) -> list[KeyPos]:
    try:
        body = parse(json_body(response, (token,)).decode())
    except (MalformedFrame, UnicodeDecodeError) as error:
        raise MalformedResponse(f"the list of terminals cannot be read: {error}", status=200) from None
    if isinstance(body, dict) and body.get("code") == 0:
        said = clean(str(body.get("message") or "no message"), (token,))
        raise ApiError(f"the list of terminals was refused: {said}", status=200, code="0", message=said)
    found = list(dict.fromkeys(_triplets(body)))
    if not found and _holds_objects(body):
        raise MalformedResponse(
            "none of the listed terminals could be read: each needs a terminal id, a branch and a serial number",
            status=200,
        )
    return found


_NAMES = {
    "idterminal": "id_terminal",
    "terminalid": "id_terminal",
    "idsucursal": "id_sucursal",
    "sucursalid": "id_sucursal",
    "serialnumber": "serial_number",
    "serial": "serial_number",
}


def _triplets(value: Any) -> Iterator[KeyPos]:
    """Every object with the three values, at any depth; an enclosing object may have some of them."""
    waiting: list[tuple[Any, dict[str, Any]]] = [(value, {})]
    while waiting:
        item, around = waiting.pop()
        if isinstance(item, list):
            waiting.extend((part, around) for part in reversed(item))
        elif isinstance(item, dict):
            named = {_NAMES.get(key.lower().replace("_", "")): part for key, part in item.items()}
            own = {name: part for name, part in named.items() if name and isinstance(part, (str, int))}
            parts = {**around, **own}
            if not own or len(parts) < 3:
                waiting.extend((part, parts) for part in reversed(item.values()) if isinstance(part, (dict, list)))
                continue
            try:
                yield KeyPos(_as_text(parts["id_terminal"]), parts["id_sucursal"], _as_text(parts["serial_number"]))
            except InvalidValue as error:
                log.warning("skipping a listed terminal: %s", error)


def _as_text(part: Any) -> Any:
    return str(part) if type(part) is int else part


def _holds_objects(body: Any) -> bool:
    """Whether there is a list of objects at any depth."""
    waiting = [body]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list) and any(isinstance(part, dict) for part in item):
            return True
        if isinstance(item, (list, dict)):
            waiting.extend(item if isinstance(item, list) else item.values())
    return False
