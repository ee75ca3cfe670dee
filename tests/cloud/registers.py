"""Registers of a virtual cloud on a clock of their own: no sockets, no threads, no waiting."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from getnet_pos import KeyPos, Profile, Timeouts
from getnet_pos.simulator.cloud import CloudAnswer, CloudCall, CloudFaultKind, VirtualCloud
from tests.faults.world import HOOK, CloudRegister, Journal

__all__ = ["ARGENTINA", "CHILE", "HOOK", "Canned", "K", "both", "canned", "give", "hooked", "nested", "number_of",
           "opened", "polled"]  # fmt: skip

CHILE, ARGENTINA = Profile.CHILE, Profile.ARGENTINA
TIMEOUTS = Timeouts(recovery=60, recovery_interval=10)
K = CloudFaultKind

both = pytest.mark.parametrize("profile", [CHILE, ARGENTINA], ids=["cl", "ar"])
hooked = pytest.mark.parametrize("webhook", [None, HOOK], ids=["sync", "async"])


class Canned(VirtualCloud):
    """A cloud whose answers to some paths are given: a body, ``(status, body)``, or a function that makes one."""

    def __init__(self, profile: Profile, **answers: Any) -> None:
        super().__init__(profile=profile)
        self.answers = answers

    def receive(self, call: CloudCall, now: float) -> None:
        name = call.path.rpartition("/")[2]
        answer = self.answers.get(name, self.answers.get("status") if name.isdigit() else None)
        if callable(answer):
            answer = answer()
        if answer is None:
            super().receive(call, now)
            return
        self.requests.append(call)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        body = body if isinstance(body, bytes) else orjson.dumps(body)
        call.give(CloudAnswer(status, {"content-type": "application/json"}, body))


def opened(
    profile: Profile = CHILE,
    *,
    cloud: VirtualCloud | None = None,
    webhook: str | None = None,
    key_pos: KeyPos | None = None,
    **settings: Any,
) -> CloudRegister:
    """A register that has not polled yet."""
    cloud = cloud or VirtualCloud(profile=profile, **settings)
    return CloudRegister(cloud, Journal(), timeouts=TIMEOUTS, webhook=webhook, key_pos=key_pos)


def polled(profile: Profile = CHILE, **settings: Any) -> CloudRegister:
    """A register that has polled its terminal; ``settings`` are those of ``opened``."""
    register = opened(profile, **settings)
    assert register.poll().approved
    return register


def canned(profile: Profile = CHILE, *, at_first: dict[str, Any] | None = None, **answers: Any) -> CloudRegister:
    """A register that has polled a cloud which then gives these answers; ``at_first`` it gave others."""
    cloud = Canned(profile, **(at_first or {}))
    register = polled(profile, cloud=cloud)
    give(register, **answers)
    return register


def give(register: CloudRegister, **answers: Any) -> None:
    """Have a canned cloud give other answers from now on."""
    assert isinstance(register.cloud, Canned)
    register.cloud.answers.update(answers)


def nested(reply: object, **ids: Any) -> dict[str, Any]:
    """The cloud's answer with a result in it."""
    return {"code": 1, "status": "OK", "message": "m", "data": {**ids, "response": reply}}


def number_of(register: CloudRegister) -> int:
    """The number under which the cloud carried the last money command."""
    answers = (orjson.loads(one.answer.body) for one in register.cloud.requests if one.answer and "sale" in one.path)
    numbers = [answer["data"]["idPosTxs"] for answer in answers]
    return int(numbers[-1])
