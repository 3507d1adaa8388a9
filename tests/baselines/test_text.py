"""Names and paths of a user as text for terminals, logs and Ray."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.text import absolute_path, is_utf8, plain, printable

if TYPE_CHECKING:
    from pathlib import Path

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # surrogates too


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("montage-2.json", "montage-2.json"),
        ("grün 日本", "grün 日本"),
        ("a\nb\r", r"a\nb\r"),
        ("\x1b[2J", r"\x1b[2J"),
        ("abc\u202edcba", r"abc\u202edcba"),
        (os.fsdecode(b"a\xff"), r"a\udcff"),
        ("\u2028", r"\u2028"),
    ],
)
def test_what_moves_the_cursor_or_is_no_text_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT)
def test_any_text_becomes_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.encode().splitlines()) <= 1
    assert plain(text).isascii()
    assert plain(text).isprintable()


@given(ANY_TEXT)
def test_a_text_is_utf8_or_not(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        assert not is_utf8(text)
    else:
        assert is_utf8(text)


def test_paths_are_absolute_and_their_home_is_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/of/someone")
    assert absolute_path("a/b") == tmp_path / "a" / "b"
    assert str(absolute_path("~/a")) == "/home/of/someone/a"


def test_a_home_that_nobody_has_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"^~no-such-user/x: there is no such home folder$"):
        absolute_path("~no-such-user/x")
