"""Another network while the service runs, and the application that Serve is given."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.serving.quick import Quick
from deepsched.pipeline.serving.reload import Reloading, check_checkpoint, with_checkpoint
from deepsched.pipeline.serving.settings import ServeArgs
from tests.pipeline.serving.examples import asked, drawn, value

ARGS = ServeArgs()


class Noting(Reloading):
    """A part of the service that only notes which network it would serve."""

    async def exchange(self, args: ServeArgs) -> None:
        check_checkpoint(args.checkpoint)
        self.args = args


def test_a_configuration_says_a_checkpoint_or_none_and_nothing_else():
    assert with_checkpoint(ARGS, {}).checkpoint is None
    assert with_checkpoint(ARGS, {"checkpoint": None}).checkpoint is None
    assert with_checkpoint(ARGS, {"checkpoint": "/a/b"}).checkpoint == Path("/a/b")
    with pytest.raises(InvalidInput, match="user_config: unknown field 'max_tasks'; one of: chec"):
        with_checkpoint(ARGS, {"max_tasks": 5})


def test_a_network_that_cannot_serve_is_refused_and_the_one_before_goes_on(paper):
    async def exchanges() -> None:
        part = Noting(ARGS)
        await part.reconfigure({"checkpoint": str(paper)})
        assert (part.args.checkpoint, part.refused) == (paper, None)
        await part.reconfigure({"checkpoint": "/nowhere"})
        assert part.args.checkpoint == paper
        assert part.refused is not None
        assert "/nowhere" in part.refused
        await part.reconfigure({"other": 1})
        assert "unknown field" in part.refused
        await part.reconfigure({})
        assert (part.args.checkpoint, part.refused) == (None, None)

    asyncio.run(exchanges())


def test_without_one_before_it_the_refusal_ends_the_process():
    with pytest.raises(InvalidInput, match="/nowhere"):
        asyncio.run(Noting(ARGS).reconfigure({"checkpoint": "/nowhere"}))


def test_a_quick_process_answers_by_the_network_it_was_given_last(paper):
    async def exchanges() -> None:
        quick = Quick(ARGS)
        for checkpoint, name in ((str(paper), "paper"), (None, "deepsched"), ("/no", "deepsched")):
            await quick.reconfigure({"checkpoint": checkpoint})
            [reply] = await quick.work([asked(drawn())])
            assert value(reply)["scheduler"] == name
            said = await quick.check()
            assert (said["able"], said["default"]) == (True, name)
            assert [model["name"] for model in said["models"]][:1] == [name]
            assert (said["refused"] is None) == (checkpoint != "/no")

    asyncio.run(exchanges())
