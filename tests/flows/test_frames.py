"""The bytes of each message, cut out of whatever came with it."""

from __future__ import annotations

from random import Random

from getnet_pos.codec import Decoder, Message
from getnet_pos.flows.effects import Now, Receive
from getnet_pos.flows.link import Link
from getnet_pos.messages import CATALOGUE, Ack, BadFrame, Progress, Reply, Wire
from getnet_pos.profiles import Timeouts
from tests.evidence import Count
from tests.properties import streams


def heard(pieces: list[bytes]) -> list[tuple[Message, bytes]]:
    """What is handed on of a stream that comes in these pieces."""
    link = Link(Wire.SIGNED, Timeouts(), CATALOGUE, acknowledges=True)
    told: list[tuple[Message, bytes]] = []
    link.on_frame = lambda *message: told.append(message)
    for piece in pieces:
        link._read(piece)
        while link._inbox:
            flow = link.next_message(1.0)
            try:
                effect = next(flow)
                assert isinstance(effect, (Now, Receive)), "nothing has to be waited for"
            except StopIteration as end:
                for call in link.hand_on(end.value):
                    call.function()  # type: ignore[union-attr]  # it is a Call
    return told


def test_a_message_has_its_own_bytes_however_they_come(count: Count) -> None:
    seen = 0
    for seed in range(count(short=300, evidence=5_000, long=500_000)):
        random = Random(seed)
        data = streams.stream(random)
        pieces = [data[piece] for piece in streams.cuts(random, len(data))]
        for message, frame in heard(pieces):
            assert frame in data
            alone = Decoder().feed(frame)
            assert [streams.exact(one) for one in alone] == [streams.exact(message)], seed
            seen += isinstance(message, (Ack, Progress, Reply))
            assert not isinstance(message, BadFrame)
    assert seen > 100
