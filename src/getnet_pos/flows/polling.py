"""Is the terminal there and ready: the step before all others, and the one that mends what an earlier run left."""

from __future__ import annotations

import logging
from typing import cast

from ..errors import Disconnected, UnexpectedReply
from ..messages import DetailsReport, Poll, PollReply, Wire
from .effects import Flow
from .exchange import exchange
from .link import Link
from .money import Till, learn_baseline, recover_all

__all__ = ["greet", "polling"]

log = logging.getLogger("getnet_pos.polling")


def greet(link: Link, *, patience: float | None = None) -> Flow[PollReply]:
    """Open the link if need be and ask whether the terminal is ready.

    The simplified wire has no poll: any answer to a details report, which changes nothing, is taken for one.
    """
    if not link.is_open:
        yield from link.open()
    limit = link.timeouts.short if patience is None else patience
    if link.wire is Wire.SIMPLIFIED:
        reply = yield from exchange(link, DetailsReport(), patience=limit)
        return PollReply(function_code=Poll.code, response_code=0, connected=True, extra=reply.extra)
    return cast("PollReply", (yield from exchange(link, Poll(), patience=limit)))


def polling(till: Till) -> Flow[PollReply]:
    """Poll; then settle what an earlier run left open, and learn the last voucher, which a later doubt needs."""
    link = till.link
    try:
        reply = yield from greet(link)
    except (Disconnected, UnexpectedReply) as error:
        # A link that was lost while idle shows it only now; and right after plugging in, terminals are known to answer
        # a first poll with an error of their own.
        log.warning("the first poll failed (%s): opening the link again", error)
        yield from link.close()
        reply = yield from greet(link)
    if reply.approved and reply.connected is not False:
        till.asked_in_vain = False
        yield from recover_all(till)
        if till.baseline is None:
            yield from learn_baseline(till)
    return reply
