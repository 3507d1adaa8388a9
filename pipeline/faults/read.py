"""`deepsched chaos read`: damaged workflow files give a problem or one line, soon and in bounds."""

from __future__ import annotations

import random
import resource
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepsched.baselines.errors import DeepSchedError, InputWarning
from deepsched.baselines.heft import heft
from deepsched.baselines.readers import ReadOptions, problem_from_bytes
from deepsched.baselines.readers.files import read_bytes, shown_path
from deepsched.baselines.schedule import violations
from deepsched.pipeline.common.cli import EXIT_FAILED, progress_bar, results
from deepsched.pipeline.common.numbers import SEED, Real, Whole

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_MESSAGE = 1_200  # characters
LONGEST_SECONDS = 10.0  # of one reading; on a busy machine, of files of some kB
MOST_MEMORY = 2**30  # bytes that all readings together may add
SMALL = 200  # tasks x machines up to which the problem is scheduled too
WORDS = (
    b"0", b"-1", b"1e308", b"nan", b"inf", b"99999999999999999999", b'"', b"'", b"{", b"}", b"[",
    b"]", b"<", b">", b"&", b"@", b"#", b";", b",", b"\t", b"\r", b"\n", b"\x00", b"\xff", b"\\",
    b"null", b"true", b"*a", b"&a", b"!!python/object:x", b"<!ENTITY a 'b'>", b"&a;", b"->",
    b"\xe2\x80\xae", b"\xed\xa0\x80",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A damaged file that was not read as it should be.

    Attributes
    ----------
    number : of the mutation: `mutation(data, random.Random(f"{seed}-{number}"))` makes it again.
    what : it did.
    data : the damaged file.
    """

    number: int
    what: str
    data: bytes


def mutation(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes of a file with one to four pieces lost, repeated, moved or replaced."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((0, 1, 1, 2, 4, 16, 200)))
        piece = data[start:end]
        kind = rng.randrange(6)
        if kind == 0:
            new = b""
        elif kind == 1:
            new = piece * rng.choice((2, 3, 50))
        elif kind == 2:
            new = rng.choice(WORDS)
        elif kind == 3:
            at = rng.randrange(len(data) + 1)
            new = data[at : at + len(piece) + 8]
        elif kind == 4:
            new = bytes(byte ^ (1 << rng.randrange(8)) for byte in piece)
        else:
            new = bytes(rng.randrange(256) for _ in range(rng.randint(1, 4)))
        data = data[:start] + new + data[end:]
    return data


def findings(
    data: bytes, where: str, *, mutations: int, seed: int, options: ReadOptions | None = None
) -> Iterator[Finding | None]:
    """Read mutations of a file, one after the other; yield what each did wrong, or None."""
    before = _memory()
    for number in range(mutations):
        damaged = mutation(data, random.Random(f"{seed}-{number}"))
        begin = time.perf_counter()
        what = _judged(damaged, where, options)
        seconds = time.perf_counter() - begin
        if what is None and seconds > LONGEST_SECONDS:
            what = f"took {seconds:.1f} s"
        if what is None and _memory() - before > MOST_MEMORY:
            what = f"took memory beyond {MOST_MEMORY // 2**20} MiB"
            before = _memory()
        yield None if what is None else Finding(number=number, what=what, data=damaged)


def _judged(data: bytes, where: str, options: ReadOptions | None) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for kind in (InputWarning, DeprecationWarning):  # the latter are other libraries' own
                warnings.simplefilter("ignore", kind)
            problem = problem_from_bytes(data, where, options)
            if problem.n_tasks * problem.n_machines <= SMALL and violations(problem, heft(problem)):
                return "gives a problem of which HEFT makes no valid schedule"
    except DeepSchedError as error:
        text = str(error)
        if not text.startswith(where) or len(text) > LONGEST_MESSAGE or not text.isprintable():
            return f"says {text[:200]!r}"
    except Exception as error:  # what is looked for
        return f"raises {type(error).__name__}: {str(error)[:200]}"
    return None


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@click.command(name="read")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option(
    "--mutations",
    default=20_000,
    show_default=True,
    type=Whole(min=1),
    help="Damaged copies of each file.",
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of the damage.")
@click.option("--runtime", type=Real(min=0), help="Runtime of tasks for which a file has none.")
def command(files: tuple[Path, ...], mutations: int, seed: int, runtime: float | None) -> None:
    """Damage workflow FILES in memory, again and again, and read what comes out.

    Each must give a problem, or one line that names the file; soon, and within bounded memory.
    """
    bad = 0
    with progress_bar() as bar:
        for path in files:
            task = bar.add_task(path.name, total=mutations)
            options = ReadOptions(runtime=runtime)
            data, where = read_bytes(path), shown_path(path)
            for found in findings(data, where, mutations=mutations, seed=seed, options=options):
                bar.advance(task)
                if found is not None:
                    bad += 1
                    results.print(f"{path}: mutation {found.number} {found.what}", markup=False)
    results.print(f"{len(files)} files, {mutations} mutations each: {bad} not read as they should")
    if bad:
        click.get_current_context().exit(EXIT_FAILED)
