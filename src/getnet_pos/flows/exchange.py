"""One command and its reply on a byte stream. Decides what answers the command; knows nothing of intents."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from ..errors import DeadlineExceeded, NotAccepted, UnexpectedReply
from ..messages import (
    Ack,
    BadFrame,
    CancelReply,
    Command,
    CommandMessage,
    FrameFault,
    LastVoucher,
    Progress,
    Reply,
    Waits,
)
from ..profiles import Timeouts
from .effects import Flow, Now, Report
from .link import Link, describe

__all__ = ["Verdict", "Waiting", "await_reply", "exchange", "reply_time"]

log = logging.getLogger("getnet_pos.exchange")


class Verdict(Enum):
    """What a reply is to the command in progress."""

    MINE = auto()
    OTHER = auto()
    """It answers another command: set aside, and the wait goes on."""
    DOUBT = auto()
    """It claims to answer this one, and cannot be believed."""


@dataclass(slots=True)
class Waiting:
    """A wait for one reply.

    ``judge`` says what a reply is. ``patience`` is counted from the last sign of progress, ``total`` from the
    beginning. ``accepted`` becomes true with the first sign that the terminal has the command; ``on_accepted`` is
    then run once.
    """

    judge: Callable[[Reply], Verdict]
    patience: float
    total: float
    cancellable: bool = False
    accepted: bool = False
    on_accepted: Callable[[], Flow[None]] | None = None
    cancel_sent: bool = False


def reply_time(command: Command, timeouts: Timeouts) -> float:
    return timeouts.short if command.waits is Waits.SHORT else timeouts.report


def exchange(link: Link, command: Command, *, patience: float | None = None) -> Flow[Reply]:
    """Send a command that moves no money and return its reply, acknowledged.

    Raises:
        TransportError: the link failed, or a deadline passed.
        ProtocolError: the terminal refused the command, or its answer cannot be used.
    """
    # A last voucher may come under the function code of the operation it records.
    codes = link.catalogue.voucher_codes if isinstance(command, LastVoucher) else frozenset({command.code})
    limit = reply_time(command, link.timeouts) if patience is None else patience
    yield from link.discard_stale()
    sent = yield from link.send(command)
    waiting = Waiting(
        judge=lambda reply: Verdict.MINE if reply.function_code in codes else Verdict.OTHER, patience=limit, total=limit
    )
    reply = yield from await_reply(link, waiting, sent)
    # The terminal does one thing after the other: what was asked before will not be answered any more.
    link.awaits_voucher = False
    yield from link.acknowledge_final()
    return reply


def await_reply(link: Link, waiting: Waiting, sent: float) -> Flow[Reply]:
    """The reply that ``waiting.judge`` takes, not acknowledged yet.

    Raises:
        DeadlineExceeded: no sign of receipt, or no reply, in time.
        NotAccepted: the terminal answered ``Received: false``.
        UnexpectedReply: the terminal reported an error of its own, or the reply cannot be believed.
        ProtocolError: a message came whole and damaged.
        TransportError: the link failed.
    """
    acknowledged_by = sent + link.timeouts.acknowledgement
    last_by, reply_by = sent + waiting.total, sent + waiting.patience
    if not link.acknowledges:
        acknowledged_by = last_by
    now = sent
    while True:
        if waiting.cancellable and link.cancel_wanted and not waiting.cancel_sent:
            waiting.cancel_sent = True
            yield from link.cancel()
            reply_by = min(reply_by, now + link.timeouts.cancel)
        limit = min(last_by, reply_by) if waiting.accepted else min(last_by, reply_by, acknowledged_by)
        message = yield from link.next_message(limit)
        now = yield Now()
        if isinstance(message, Ack):
            if not message.received and not waiting.cancel_sent:
                raise NotAccepted(
                    "the terminal did not accept the command (Received: false): poll it, then look at its screen"
                )
        elif isinstance(message, Progress):
            yield from link.acknowledge()
            yield Report(message)
            reply_by = now + waiting.patience
        elif isinstance(message, CancelReply) and waiting.cancel_sent:
            yield from link.acknowledge()
            # A sale that could not be cancelled goes on as before.
            reply_by = now + (link.timeouts.cancel if message.approved else waiting.patience)
        elif isinstance(message, Reply):
            if (yield from _is_answer(link, waiting, message)):
                return message
        elif message is not None:
            yield from _mend(link, message)
        if now > limit or (message is None and now >= limit):
            raise _too_late(waiting)
        # A reply to another command says nothing about this one.
        if not waiting.accepted and isinstance(message, (Ack, Progress)):
            waiting.accepted = True
            if waiting.on_accepted is not None:
                yield from waiting.on_accepted()


def _is_answer(link: Link, waiting: Waiting, reply: Reply) -> Flow[bool]:
    if reply.function_code == 0:
        yield from link.acknowledge()
        raise UnexpectedReply(
            f"the terminal reported an error of its own ({reply.response_code}: {_said(reply)}): poll it again"
        )
    verdict = waiting.judge(reply)
    if verdict is Verdict.DOUBT:
        yield from link.acknowledge()
        raise UnexpectedReply(
            "the reply does not fit the command: its amount is another one, or it could be of another sale"
        )
    if verdict is Verdict.OTHER:
        yield from link.set_aside(reply)
        return False
    return True


def _said(reply: Reply) -> str:
    """The terminal's words, fit for a log: short, on one line, and without anything that could be a card number."""
    words = "".join(letter if letter.isprintable() else "?" for letter in (reply.response_message or "no message")[:80])
    return re.sub(r"[0-9](?:[ -]?[0-9]){6,}", "...", words)


def _mend(link: Link, message: BadFrame | CommandMessage) -> Flow[None]:
    """Pass over noise; raise for a message that was damaged on its way, or that is our own."""
    if isinstance(message, CommandMessage):
        raise UnexpectedReply("the port sends back what is written to it: it is not a terminal in integrated mode")
    log.warning("received %s", describe(message))
    if message.sealed or message.fault in (FrameFault.SIGNATURE, FrameFault.CHECKSUM):
        yield from link.acknowledge(received=False)
        raise message.error()


def _too_late(waiting: Waiting) -> DeadlineExceeded:
    if waiting.accepted:
        return DeadlineExceeded("the terminal did not reply in time: look at its screen")
    return DeadlineExceeded(
        "the terminal did not answer: check that it is switched on, connected and in integrated mode"
    )
