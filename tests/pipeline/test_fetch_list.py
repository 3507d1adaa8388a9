"""The list of public files: what it may say, and that the packaged one is right."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.fetching.place import is_right
from deepsched.pipeline.fetching.sources import NOTICES, load_sources, parse_sources
from tests.pipeline.cli_helpers import ROOT, deepsched_here
from tests.pipeline.file_server import COMMIT

ROW = f"some/one\t{COMMIT}\ta/b.json\t12\t{'0' * 64}\tstg/b.json"
HEADER = "github_repository\tcommit\tpath\tbytes\tsha256\there"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("stg/b.json", "../b.json", "here cannot be '../b.json'"),
        ("stg/b.json", "/etc/b.json", "here cannot be '/etc/b.json'"),
        ("stg/b.json", "stg/../../b.json", "here cannot be"),
        ("stg/b.json", "stg//b.json", "here cannot be"),
        ("stg/b.json", "stg/./b.json", "here cannot be"),
        ("stg/b.json", "stg\\b.json", "here cannot be"),
        ("stg/b.json", "stg/b\x00", "here cannot be"),
        ("stg/b.json", "b.json", "here cannot be"),
        ("a/b.json", "../../b.json", "path cannot be"),
        ("a/b.json", "/b.json", "path cannot be"),
        ("some/one", "../one", "github_repository cannot be"),
        ("some/one", "some/one/more", "github_repository cannot be"),
        (COMMIT, "main", "commit cannot be 'main'"),
        ("\t12\t", "\t-1\t", "bytes cannot be '-1'"),
        ("\t12\t", "\t0\t", "bytes cannot be '0'"),
        ("0" * 64, "0" * 63, "sha256 cannot be"),
        ("\t12", "", "5 columns instead of 6"),
        (ROW, f"{ROW}\n{ROW}", "here 'stg/b.json' stands there twice"),
        (HEADER, "path\there", "the columns must be github_repository, commit"),
    ],
)
def test_a_bad_list_is_refused(old: str, new: str, words: str) -> None:
    text = f"{HEADER}\n{ROW}\n"
    assert len(parse_sources(text, "list.tsv")) == 1
    with pytest.raises(InvalidInput, match=f"^list.tsv, line [1-3]: .*{re.escape(words)}"):
        parse_sources(text.replace(old, new), "list.tsv")


def test_the_packaged_list_is_what_the_help_says(capsys: pytest.CaptureFixture[str]) -> None:
    sources = load_sources()
    kinds = Counter((source.group, Path(source.here).suffix) for source in sources)
    assert kinds == {
        ("wfinstances", ".gz"): 98,
        ("stg", ".stg"): 180,
        ("stg", ".csv"): 4,
        ("hcsp", ".0"): 12,
        ("hcsp", ".sol"): 24,
        ("jsp", ".txt"): 63,
    }
    assert all(source.packed == (source.group == "wfinstances") for source in sources)
    size = Counter[str]()
    for source in sources:
        size[source.group] += source.size
    assert set(size) == set(NOTICES)
    text = deepsched_here(capsys, "fetch", "--help").stdout
    for group, words in {
        "wfinstances": ("98 real", f"({size['wfinstances'] / 1e6:.0f} MB"),
        "stg": ("180 graphs", f"({size['stg'] / 1e6:.1f} MB)"),
        "jsp": ("63 job shops", f"({size['jsp'] / 1e6:.1f} MB)"),
        "hcsp": ("12 instances", f"({size['hcsp'] / 1e6:.1f} MB)"),
    }.items():
        [line] = [line for line in text.splitlines() if line.startswith(f"    {group} ")]
        assert all(word in line for word in words)


def test_the_packaged_list_is_installed_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["deepsched.pipeline.fetching"]
    found = {path for pattern in patterns for path in (ROOT / "pipeline/fetching").glob(pattern)}
    assert ROOT / "pipeline/fetching/sources.tsv" in found


def test_the_real_inputs_are_the_files_of_the_list(data_dir: Path) -> None:
    wrong = [s.here for s in load_sources() if not is_right(data_dir / s.here, s)]
    assert wrong == []
