"""Bearer tokens: who may ask, and how tokens are exchanged while the service runs."""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING

import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.serving import tokens
from deepsched.pipeline.serving.tokens import SHORTEST, VARIABLE, Tokens

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW, OTHER = "old-token-" + "a" * 12, "new-token-" + "b" * 12, "other-token-" + "c" * 12


@pytest.fixture(autouse=True)
def no_tokens_of_the_environment(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# of the clients\n{OLD}\n\n  {OTHER}  \n")
    return path


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_of_no_tokens_everybody_may_ask():
    found = Tokens(None)
    assert not found.wanted
    assert found.allow("")


def test_only_those_of_the_file_may_ask(file):
    found = Tokens(file)
    assert found.wanted
    assert found.allow(bearer(OLD))
    assert found.allow(f"bearer   {OTHER} ")
    for wrong in (
        "", "Bearer", "Bearer ", OLD, f"Basic {OLD}", bearer(NEW), bearer(OLD[:-1]),
        bearer(OLD + "x"), bearer(f"{OLD} {OTHER}"), bearer(""), bearer("# of the clients"),
        bearer("\xff" * 20), f"Bearer\t{OLD}",
    ):  # fmt: skip
        assert not found.allow(wrong), wrong


def test_tokens_of_the_environment_hold_beside_those_of_the_file(file, monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{NEW}, {'d' * 20}")
    assert Tokens(None).wanted
    assert Tokens(None).allow(bearer(NEW))
    found = Tokens(file)
    assert all(found.allow(bearer(token)) for token in (OLD, OTHER, NEW, "d" * 20))


def test_tokens_are_exchanged_without_a_restart(file):
    found = Tokens(file)
    file.write_text(f"{OLD}\n{NEW}\n")
    assert found.allow(bearer(OLD))
    assert found.allow(bearer(NEW))
    replacement = file.with_name("next")  # as atomic writers do it
    replacement.write_text(f"{NEW}\n")
    replacement.replace(file)
    assert not found.allow(bearer(OLD))
    assert found.allow(bearer(NEW))


def test_a_file_that_becomes_wrong_changes_nothing_until_it_is_right(file):
    found = Tokens(file)
    for damage in (lambda: file.write_text("short\n"), lambda: file.write_bytes(b"\xff\xfe")):
        damage()
        assert found.allow(bearer(OLD))
        assert not found.allow(bearer("short"))
    file.unlink()
    assert found.allow(bearer(OLD))
    file.write_text(f"{NEW}\n")
    assert found.allow(bearer(NEW))
    assert not found.allow(bearer(OLD))


def test_a_file_that_is_emptied_lets_nobody_new_in(file):
    found = Tokens(file)
    file.write_text("")
    assert found.wanted
    assert not found.allow("")
    assert not found.allow("Bearer ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no token"),
        ("# nothing\n\n", "holds no token"),
        (f"{OLD}\n{'s' * (SHORTEST - 1)}\n", "token 2: at least 16 ASCII characters, no spaces"),
        (f"{OLD} {NEW}\n", "token 1: at least 16 ASCII characters, no spaces"),
        ("é" * 30, "token 1: at least 16 ASCII characters, no spaces"),
    ],
)
def test_files_that_cannot_guard_are_refused_without_repeating_a_token(tmp_path, text, words):
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=words) as caught:
        Tokens(path)
    assert OLD not in str(caught.value)
    assert "ss" not in str(caught.value).replace(str(path), "")


def test_a_file_that_is_not_there_and_a_short_token_of_the_environment(tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match="tokens cannot be read: No such file"):
        Tokens(tmp_path / "tokens")
    monkeypatch.setenv(VARIABLE, "guess-me")
    with pytest.raises(InvalidInput, match=f"{VARIABLE}: token 1: at least 16") as caught:
        Tokens(None)
    assert "guess-me" not in str(caught.value)


def test_a_token_is_compared_with_every_one_known_whichever_fits(file, monkeypatch):
    """So the time does not tell how many there are before the one that fits."""
    found = Tokens(file)
    compared = []

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return hmac.compare_digest(one, other)

    class Counting:
        compare_digest = staticmethod(counting)

    monkeypatch.setattr(tokens, "hmac", Counting)
    for token in (OLD, OTHER, NEW, ""):
        compared.clear()
        found.allow(bearer(token))
        assert compared == [OLD.encode(), OTHER.encode()]


def test_the_file_is_read_only_when_it_has_changed(file, monkeypatch):
    found = Tokens(file)
    reads = []
    read = type(file).read_text
    monkeypatch.setattr(type(file), "read_text", lambda path: reads.append(path) or read(path))
    for _ in range(3):
        assert found.allow(bearer(OLD))
    assert reads == []
    os.utime(file, ns=(1, 1))
    assert found.allow(bearer(OLD))
    assert len(reads) == 1
