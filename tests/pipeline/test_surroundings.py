"""What surrounds a command: streams that are closed, full or not UTF-8, folders that are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers import packed
from deepsched.pipeline.common.consoles import _Console as Console
from deepsched.pipeline.common.ray_session import LONGEST_SOCKET, _path_here, python_path
from deepsched.pipeline.common.ray_session import _check_temporary_folder as check_temporary_folder
from deepsched.pipeline.faults.trial import clean_environment
from tests.pipeline.cli_helpers import EXAMPLE, ROOT, deepsched_here, said_by

FILE = ROOT / "tests" / "data" / "topcuoglu.json"


def shell(line: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which `deepsched` is the command line."""
    function = f'deepsched() {{ "{sys.executable}" -m deepsched "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail\n{function}{line}"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FILE": str(FILE), **variables},
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("deepsched schedule - <&-", 2, "standard input is closed; give a file, or pipe one in"),
        ("deepsched schedule $FILE >&-", 1, "standard output is closed"),
        ("deepsched --version >&-", 1, "standard output is closed"),
        ("deepsched schedule $FILE >/dev/full", 1, "standard output cannot be written: No space"),
        ("deepsched schedule $FILE --json - >/dev/full", 1, "standard output cannot be written: "),
        ("PYTHONUNBUFFERED=1 deepsched --help >/dev/full", 1, "standard output cannot be written"),
        ("cd $(mktemp -d); rmdir $PWD; deepsched schedule $FILE", 2, "the current folder is gone"),
        (
            "deepsched label --preset small --out $(mktemp -d) --samples 1 --workers 0 >/dev/full",
            1,
            "standard output cannot be written",
        ),
    ],
)
def test_what_is_closed_full_or_gone_is_one_line(line: str, code: int, said: str) -> None:
    done = shell(line)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"deepsched: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("options", ["", "--json -"])
def test_a_reader_that_has_gone_is_no_mistake_of_anybody(options: str) -> None:
    done = shell(f"deepsched schedule $FILE {options} | true")
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "2>/dev/full", "2> >(true)"])
def test_a_stream_that_is_not_needed_may_be_closed(closed: str, tmp_path: Path) -> None:
    done = shell(f"deepsched schedule $FILE --svg {tmp_path}/s {closed} && deepsched --version")
    assert (done.returncode, done.stdout.count("version")) == (0, 1)
    first = f"svg written to {tmp_path}/s\nHEFT 80 → deepsched 73 s"
    assert done.stderr.startswith(first) if closed == "<&-" else done.stderr == ""
    assert (tmp_path / "s").read_text().endswith("</svg>\n")


def test_a_result_does_not_land_in_place_of_a_closed_stream(tmp_path: Path) -> None:
    out = tmp_path / "s.json"
    done = shell(f"deepsched schedule $FILE --json {out} <&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert out.read_text().startswith("{")
    assert out.read_text().endswith("}\n")


@pytest.mark.parametrize(
    ("encoding", "beginning"),
    [("ascii", rb"\xfc\u65e5"), ("cp1252", rb"\xfc\u65e5"), ("utf-8", "ü日".encode())],
)
def test_a_name_reaches_any_terminal(encoding: str, beginning: bytes, tmp_path: Path) -> None:
    name = os.fsdecode("ü日[red] :smile:\n\x1b[31m".encode() + b"\xff")
    source, out = tmp_path / f"{name}.json", tmp_path / f"{name}.out"
    source.write_text(EXAMPLE)
    line = 'deepsched schedule "$SOURCE" && deepsched schedule "$SOURCE" --json "$OUT"'
    done = shell(line, PYTHONIOENCODING=encoding, SOURCE=str(source), OUT=str(out))
    assert done.returncode == 0, done.stderr
    _, rest = done.stdout.split("\n", 1)  # below the line of what is gained
    head = rest.encode("utf-8", "surrogateescape").split(b": 4 tasks")[0]
    if encoding == "cp1252":
        head = head.replace(b"\xfc", rb"\xfc")  # the one character that it has
    assert head == beginning + rb"[red] :smile:\n\x1b[31m\udcff"
    assert done.stderr.startswith("json written to /")
    assert done.stderr.count("\n") == 2
    assert out.exists()


def test_consoles_take_every_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("[b]", box=None)
    table.add_row("[/x] :smile: \x1b[2J\r\udcff")
    Console().print(table)
    Console().print("[red]one\ntwo:smile:")
    text = capsys.readouterr().out
    assert "[/x] :smile: \\x1b[2J\\r\\udcff" in text
    assert "[red]one\ntwo:smile:\n" in text
    assert text.lstrip().startswith("[b]")


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize(
    ("folder", "said"),
    [
        (
            "x" * 60,
            r" is \d+ bytes too long: sockets of Ray below it would have paths of",
        ),
        ("none", " cannot be used: No such file or directory"),
        ("file", " cannot be used: Not a directory"),
        ("ü", " is not an absolute path in ASCII"),
    ],
)
def test_a_temporary_folder_that_ray_cannot_use_is_named(
    variable: str, folder: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, f"/dev/null/{folder}" if folder == "file" else f"/tmp/{folder}")
    with pytest.raises(InvalidInput, match=f"^{variable}=/.*{said}.*RAY_TMPDIR=FOLDER"):
        check_temporary_folder()


def test_the_longest_temporary_folder_that_fits_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = f"/ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"
    link = Path(f"/tmp/{os.getpid()}-".ljust(LONGEST_SOCKET - len(session), "x"))
    link.symlink_to(tmp_path)
    try:
        monkeypatch.setenv("RAY_TMPDIR", str(link))
        check_temporary_folder()
        monkeypatch.setenv("RAY_TMPDIR", f"{link}/")
        check_temporary_folder()
        monkeypatch.setenv("RAY_TMPDIR", f"{link}x")
        with pytest.raises(InvalidInput, match="is 1 bytes too long"):
            check_temporary_folder()
    finally:
        link.unlink()


@pytest.mark.parametrize("stage", ["label --preset small --samples 2", "train --steps 1"])
def test_a_command_with_ray_says_so_and_one_without_does_not_mind(
    stage: str, tmp_path: Path
) -> None:
    command = f"deepsched {stage} --out {tmp_path}/out --workers 1"
    done = shell(f"unset RAY_TMPDIR; {command}", TMPDIR="/tmp/none/of/these")
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("deepsched: TMPDIR=/tmp/none/of/these cannot be used: No such file")
    assert "Traceback" not in done.stderr
    done = shell("deepsched schedule $FILE", TMPDIR="/tmp/none/of/these")
    assert (done.returncode, done.stderr) == (0, "")


def test_workers_get_no_path_that_is_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.fsdecode(b"/a:/b\xff:/\xc3\xbc"))
    variables = _path_here()["env_vars"]
    assert variables == {"PYTHONPATH": f"{ROOT}:/a:/ü"}
    assert clean_environment()["PYTHONPATH"] == f"{ROOT}:/a:/ü"
    monkeypatch.setenv("PYTHONPATH", "")
    assert python_path() == str(ROOT)


def test_a_file_that_is_too_large_is_a_path_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.json"
    large.touch()
    os.truncate(large, 3 * 2**20 + 1)  # without a byte on the disk
    monkeypatch.setattr(packed, "MAX_BYTES", 3 * 2**20)
    for words in (("schedule", large), ("label", "--workers", 0, "--out", "x", "--traces", large)):
        done = deepsched_here(capsys, *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert said_by(done) == [f"deepsched: {large}: larger than 3 MiB"]
