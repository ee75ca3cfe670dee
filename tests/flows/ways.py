"""Registers over every carrier, so that one test text can drive them alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from getnet_pos import Profile
from getnet_pos.messages import Command, Reply
from getnet_pos.simulator import Behaviour, VirtualTerminal
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, Where
from tests.faults.world import HOOK, CloudRegister, Journal, Register, StreamRegister

__all__ = ["WAYS", "Way", "everywhere", "lose_the_reply", "pay", "polled"]

R = TypeVar("R", bound=Reply)


def over_a_stream() -> Register:
    return StreamRegister(VirtualTerminal(), Journal())


def through_chile() -> Register:
    return CloudRegister(VirtualCloud(profile=Profile.CHILE), Journal())


def through_argentina() -> Register:
    return CloudRegister(VirtualCloud(profile=Profile.ARGENTINA), Journal())


def through_chile_with_a_webhook() -> Register:
    return CloudRegister(VirtualCloud(profile=Profile.CHILE), Journal(), webhook=HOOK)


def through_argentina_with_a_webhook() -> Register:
    return CloudRegister(VirtualCloud(profile=Profile.ARGENTINA), Journal(), webhook=HOOK)


WAYS = [
    over_a_stream,
    through_chile,
    through_argentina,
    through_chile_with_a_webhook,
    through_argentina_with_a_webhook,
]
Way = Callable[[], Register]
everywhere = pytest.mark.parametrize("way", WAYS)


def polled(way: Way) -> Register:
    register = way()
    assert register.poll().approved
    return register


def pay(register: Register, command: Command[R], **options: Any) -> R:
    """A money command with a key, or once more."""
    return register.run(register.session.request(command, **options))


def lose_the_reply(register: Register) -> None:
    """The next money command is carried out, and its reply never comes: the terminal's record tells of it."""
    if isinstance(register, CloudRegister):
        register.cloud.inject(CloudFault(CloudFaultKind.NEVER, Where.MONEY))
    else:
        register.terminal.script.append(Behaviour(reply_after=float("inf")))
