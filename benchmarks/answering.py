"""A worker's end of the pipes: one line of JSON comes in, one line of JSON goes out.

Imports nothing but the standard library, because some workers run in an environment
that has neither cifarlab nor PyTorch.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

Message = Mapping[str, Any]


class RefusalError(Exception):
    """The work cannot be done; the arguments are what to answer: a key and its value."""


def answer(work: Callable[[Message], Mapping[str, Any]]) -> None:
    """Answer the one message that comes."""
    with _channel() as channel:
        try:
            _send(channel, work(_read_message()))
        except RefusalError as refusal:
            _send(channel, dict([refusal.args]))


Work = Callable[[Message], Mapping[str, Any]]


def converse(prepare: Callable[[Message], tuple[Mapping[str, Any], Work]]) -> None:
    """Answer the first message with facts, every other one with what the work gives for it.

    Args:
        prepare: from the first message to the facts and the work.
    """
    with _channel() as channel:
        try:
            facts, work = prepare(_read_message())
        except RefusalError as refusal:
            _send(channel, dict([refusal.args]))
            return
        _send(channel, facts)
        for line in sys.stdin:
            _send(channel, work(json.loads(line)))


def serve(prepare: Callable[[Message], tuple[Mapping[str, Any], Callable[[], object]]]) -> None:
    """Answer a job with facts after a warm-up, an empty message with a time.

    Args:
        prepare: from the job to the facts and the work, which is run once to warm up
            and once for each empty message, until another job comes.
    """
    work: Callable[[], object] | None = None

    def answer(message: Message) -> Mapping[str, Any]:
        nonlocal work
        if message:
            # The memory of the last job is free before the next one is prepared.
            work = None
            facts, work = prepare(message)
            work()
            return facts
        if work is None:
            raise RefusalError("usage", "there is nothing to time; send a job first")
        began = time.perf_counter()
        work()
        return {"seconds": time.perf_counter() - began}

    with _channel() as channel:
        for line in sys.stdin:
            try:
                _send(channel, answer(json.loads(line)))
            except RefusalError as refusal:
                _send(channel, dict([refusal.args]))


def _channel() -> IO[str]:
    """Take standard output for the answers; what libraries print goes to standard error."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


def _read_message() -> Message:
    message: Message = json.loads(sys.stdin.readline())
    return message


def _send(channel: IO[str], message: Mapping[str, Any]) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()
