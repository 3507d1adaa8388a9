"""The texts: their links, commands, examples, tables and words are right."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import pytest

from deepsched.__main__ import cli
from deepsched.baselines import registry
from tests.pipeline.cli_helpers import context_of
from tests.test_repository import ROOT, repository_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
TEXTS = sorted(path for path in repository_files() if path.suffix == ".md")
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
CURRENT = [path for path in TEXTS if path.name != "CHANGELOG.md"]  # says what was, too

MOST_LINES, MOST_WIDTH = 160, 120
NOT_RUN = re.compile(r"<!-- not run: needs [^>]+ -->")
MOST_NOT_RUN = 2
# Of curl, ray job submit, and a stage that is gone (model/EXPERIMENTS.md).
OPTIONS_OF_OTHERS = {"--data-binary", "--working-dir", "--tasks", "--width"}


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def on_pages(paths: tuple[Path, ...] | list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", paths, ids=names)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: where it begins, its language, its text, and the line above it."""

    line: int
    language: str
    text: str
    above: str


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[Block]:
    lines = text.split("\n")
    start = None
    for k, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = k
        else:
            yield Block(
                line=start + 1,
                language=lines[start][3:].strip(),
                text="\n".join(lines[start + 1 : k]) + "\n",
                above=lines[start - 1] if start else "",
            )
            start = None
    assert start is None, "a fence that is not closed"


def prose(text: str) -> str:
    """Return the text without fenced blocks, whose lines stay empty."""
    return re.sub(
        r"^```.*?^```", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL | re.M
    )


def slugs(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = found.get(slug, 0)
        found[slug] = again + 1
        anchors.add(f"{slug}-{again}" if again else slug)
    return anchors


def links(text: str) -> list[str]:
    without_code = re.sub(r"`[^`]*`", "", prose(text))
    return re.findall(r"\[[^\[\]]*\]\(([^()\s]+)\)", without_code)


def broken_links(page: Path, text: str) -> list[str]:
    def leads(link: str) -> bool:
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not (target.is_relative_to(ROOT) and target.exists()):
            return False
        return not anchor or anchor in slugs(text if target == page else read(target))

    return [link for link in links(text) if not (re.match(r"https?://", link) or leads(link))]


@on_pages(TEXTS)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page, read(page)) == []


def test_a_broken_link_is_noticed() -> None:
    text = "# A `b`: c\n[x](#a-b-c) [`y`](docs/gone.md) ![z](README.md#none)\n[w](../../etc)\n"
    text += "```\n[not](a-link)\n```\n"
    assert broken_links(README, text) == ["docs/gone.md", "README.md#none", "../../etc"]


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {README}
    for page in (README, *(README.parent / link.partition("#")[0] for link in links(read(README)))):
        if page.suffix == ".md" and page.is_file():
            reached.add(page.resolve())
    assert set(PAGES) - reached == set()


def test_the_readme_is_short() -> None:
    assert len(read(README).splitlines()) <= MOST_LINES


@on_pages(PAGES)
def test_lines_are_not_wider_than_a_screen(page: Path) -> None:
    wide = [k for k, line in enumerate(read(page).split("\n"), 1) if len(line) > MOST_WIDTH]
    assert wide == []


def uneven_tables(text: str) -> list[int]:
    """Return the lines of tables whose number of cells is not that of the first row."""
    uneven, cells = [], None
    for k, line in enumerate(prose(text).split("\n"), 1):
        if not line.startswith("|"):
            cells = None
            continue
        count = len(re.findall(r"(?<!\\)\|", line))
        if cells is None:
            cells = count
        elif count != cells or not line.rstrip().endswith("|"):
            uneven.append(k)
    return uneven


@on_pages(TEXTS)
def test_the_rows_of_a_table_have_equal_numbers_of_cells(page: Path) -> None:
    assert uneven_tables(read(page)) == []


def test_an_uneven_table_is_noticed() -> None:
    assert uneven_tables("| a | b |\n|---|---|\n| 1 |\n\n| c |\n|---|\n| d \\| e |\n") == [3]


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words behind `deepsched` of every such line in the shell blocks of a page."""
    for block in blocks(text):
        if block.language != "bash":
            continue
        for line in block.text.replace("\\\n", " ").split("\n"):
            words = shlex.split(line, comments=True)
            if words and words[0].removeprefix(".venv/bin/") == "deepsched":
                yield words[1:]


def resolve(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """Return a command, what it is called in, and the words that are left for it.

    Raises
    ------
    click.UsageError
        If there is no such command.
    """
    command: click.Command = cli
    context = context_of(cli)
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            break
        found = command.get_command(context, words[0])
        if found is None:
            raise click.UsageError(f"there is no command {words[0]}")
        command, context, words = (
            found,
            context_of(found, words[0], context),
            words[1:],
        )
    return command, context, words


def refusal(words: list[str]) -> str:
    """Return why the command line would not take these words; empty if it would."""
    try:
        command, context, rest = resolve(words)
        if isinstance(command, click.Group) and not rest:
            return f"{context.command_path} needs a command"
        command.make_context(context.info_name, list(rest), parent=context.parent)
    except click.exceptions.Exit:  # of --help
        return ""
    except click.UsageError as error:
        return error.format_message()
    return ""


@on_pages([page for page in CURRENT if any(command_lines(read(page)))])
def test_every_command_is_one(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = {
        shlex.join(words): why for words in command_lines(read(page)) if (why := refusal(words))
    }
    assert refused == {}


def test_a_wrong_command_is_noticed() -> None:
    assert "no command shedule" in refusal(["shedule", "x"])
    assert "--sampels" in refusal(["schedule", "x", "--sampels", "3"])
    assert "--out" in refusal(["train", "--data", "x"])
    assert "'small' is not" in refusal(["schedule", "x", "--samples", "small"])
    assert "one of" in refusal(["schedule", "x", "--objective", "cost"])
    assert "needs a command" in refusal(["benchmark"])
    assert refusal(["schedule", "x", "--samples", "3"]) == refusal(["benchmark", "--help"]) == ""


def options_of(command: click.Command) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {
        "--help",
        "-h",
    }


def every_command(command: click.Command, context: click.Context) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from every_command(found, context)


def code_spans(text: str) -> list[str]:
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def test_commands_and_options_in_sentences_exist() -> None:
    """Those that stand in code spans, where a command may be without what it needs."""
    known = set.union(*map(options_of, every_command(cli, context_of(cli))))
    wrong = []
    for page in CURRENT:
        for span in code_spans(read(page)):
            own = known | OPTIONS_OF_OTHERS
            if span.startswith("deepsched ") and not re.match(r"deepsched\W* …", span):
                try:
                    own = options_of(resolve(span.split()[1:])[0])
                except click.UsageError as error:
                    wrong.append(f"{names(page)}: {span}: {error.message}")
            for option in re.findall(r"(?<![\w/-])--[a-z][a-z-]*", span):
                if option not in own:
                    wrong.append(f"{names(page)}: {span}: {option}")
    assert wrong == []


def python_blocks() -> list[tuple[Path, Block]]:
    return [
        (page, block)
        for page in PAGES
        for block in blocks(read(page))
        if block.language == "python"
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of an example: with the repository's test files, and nothing else."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", {})
    return tmp_path


@pytest.mark.parametrize(
    ("page", "block"),
    [pytest.param(*found, id=f"{names(found[0])}-{found[1].line}") for found in python_blocks()],
)
def test_examples_run(
    page: Path, block: Block, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"{page}, line {block.line}"
    code = compile("\n" * block.line + block.text, str(page), "exec")
    if NOT_RUN.fullmatch(block.above):
        return
    exec(code, {"__name__": "__example__"})
    said = capsys.readouterr().out
    for expected in re.findall(r"^print\(.*\)  # (.*)$", block.text, re.MULTILINE):
        assert expected in said.splitlines(), where


def test_few_examples_are_not_run() -> None:
    marked = [block for _, block in python_blocks() if NOT_RUN.fullmatch(block.above)]
    assert len(marked) <= MOST_NOT_RUN
    assert sum(read(page).count("<!-- not run") for page in PAGES) == len(marked)


def section(text: str, heading: str) -> str:
    found = re.search(rf"^(#+) {heading}$.*?(?=^\1 |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"no section {heading!r}"
    return found[0]


def words_not_used() -> list[str]:
    """Return the last column of the table of terms."""
    rows = [line for line in section(read(CONTRIBUTING), "Terms").split("\n") if line[:1] == "|"]
    cells = [row.strip("|").split("|")[-1] for row in rows[2:]]
    return [word.strip() for cell in cells for word in cell.split(",") if word.strip()]


def misnamed(text: str) -> list[str]:
    plain = " ".join(re.sub(r"`[^`]*`", "", prose(text)).split())
    return [word for word in words_not_used() if re.search(rf"\b{word}s?\b", plain, re.IGNORECASE)]


@on_pages(TEXTS)
def test_things_have_one_name(page: Path) -> None:
    text = read(page)
    if page == CONTRIBUTING:
        text = text.replace(section(text, "Terms"), "")
    assert misnamed(text) == []


def test_another_name_is_noticed() -> None:
    assert len(words_not_used()) >= 6
    assert misnamed("2,500 turns on unlike\nmachines, `--turns`, turnaround") == [
        "unlike machines",
        "turn",
    ]


def test_the_readme_has_the_numbers_of_the_results() -> None:
    table = [line for line in read(README).split("\n") if line.startswith("|") and "±" in line]
    assert len(table) >= 6
    results = read(ROOT / "docs" / "results.md")
    missing = [
        number
        for line in table
        for number in re.findall(r"\d+\.\d+(?: ± \d+\.\d+)?", line)
        if number not in results
    ]
    assert missing == []


def test_the_picture_of_the_readme_shows_a_gain() -> None:
    title = re.search(r"<title>(.*?)</title>", read(ROOT / "docs" / "heft-and-deepsched.svg"))
    assert title
    heft, own = (float(x.replace(",", "")) for x in re.findall(r"([\d,.]+) s\b", title[1]))
    assert own < heft
