"""Kinds of tasks: names without what counts tasks, but with the digits that are their own."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsched.baselines.writers.kinds import MAX_KINDS, kind_of, task_kinds

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mDiffFit_ID0000005", "mDiffFit"),
        ("split-3", "split"),
        ('0[label="map"]', "map"),
        ('7 [label="bwa2mem-12"]', "bwa2mem"),
        ("1000genome_individuals_3", "1000genome_individuals"),
        ("bwa2mem", "bwa2mem"),
        ("bowtie2-build_ID4", "bowtie2-build"),
        ("bowtie2_ID0000033", "bowtie2"),
        ("individuals_ID0000001", "individuals"),
        ("merge_3_7", "merge"),
        ("NFCORE:FASTQC (WT_REP1)", "NFCORE:FASTQC"),
        ("align#12", "align"),
        ("sort[3]", "sort"),
        ("job-3f2a9c01", "job"),
        ("job-123e4567-e89b-12d3-a456-426614174000", "job"),
        ("call-facade", "call-facade"),  # a word, though all of its letters are hexadecimal digits
        ("t12", "t12"),
        ("17", "17"),
        ("", ""),
    ],
)
def test_a_kind_is_the_name_without_what_counts_it(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_kinds_are_counted_and_numbered() -> None:
    names, kind = task_kinds(["bwa_ID0001", "split_ID2", "bwa_ID0003", "bowtie2-build_ID4"])
    assert names == ["bwa", "bowtie2-build", "split"]
    assert kind.tolist() == [0, 2, 0, 1]


def test_digits_at_the_end_count_where_they_tell_tasks_apart() -> None:
    assert task_kinds([f"t{i}" for i in range(20)])[0] == ["task"]
    assert task_kinds(["1", "2", "3"])[0] == ["task"]
    assert task_kinds(["A1", "B1", "B2"])[0] == ["B", "A"]
    assert task_kinds(["chr21_ID1", "chr22_ID2", "pileup_ID3"])[0] == ["chr", "pileup"]
    assert task_kinds(["bowtie2", "merge"])[0] == ["bowtie2", "merge"]
    assert task_kinds(["bowtie2_1", "bowtie2_2", "merge"])[0] == ["bowtie2", "merge"]


def test_many_kinds_go_by_their_first_word_where_that_groups_them_then_as_other() -> None:
    # Epigenomics: each task is named for its file.
    names, kind = task_kinds(
        [f"{step}_{step}_s{i}_part" for step in ("map", "sort") for i in range(9)]
    )
    assert names == ["map", "sort"]
    assert kind.tolist() == [0] * 9 + [1] * 9
    names, kind = task_kinds([f"{chr(97 + i)}_1_x" for i in range(12)])
    assert names == [*(f"{letter}_1_x" for letter in "abcdefgh"), "other"]
    assert len(names) == MAX_KINDS + 1
    assert kind.tolist() == [*range(8), 8, 8, 8, 8]
    names, _ = task_kinds([f"1000genome_{word}x" for word in "abcdefghij"])
    assert names[0] == "1000genome_ax"  # one first word tells nothing apart


def test_kinds_may_be_given() -> None:
    given_kinds = {"a": "bwa", "b": "bwa"}
    names, kind = task_kinds(["a", "b", "sort_1"], given_kinds)
    assert (names, kind.tolist()) == (["bwa", "sort"], [0, 0, 1])
    assert task_kinds(["a", "b"], given_kinds)[0] == ["bwa"]


def test_the_kinds_of_real_traces_are_their_programs(data_dir: Path) -> None:
    files = sorted((data_dir / "wfinstances").glob("*/*.json.gz"))
    assert len(files) == 98
    for file in files:
        tasks = json.loads(gzip.decompress(file.read_bytes()))["workflow"]["execution"]["tasks"]
        programs = {task["id"]: task["command"]["program"] for task in tasks}
        names, kind = task_kinds(list(programs))
        expected, number = task_kinds(list(programs), programs)
        assert names == expected, file.name
        assert np.array_equal(kind, number)


@given(ids=st.lists(st.text(max_size=12), min_size=1, max_size=40, unique=True))
def test_each_task_has_a_kind_whatever_the_names(ids: list[str]) -> None:
    names, kind = task_kinds(ids)
    assert kind.size == len(ids)
    assert set(kind.tolist()) == set(range(len(names)))
    assert all(names)
    assert len(names) <= MAX_KINDS + 1
