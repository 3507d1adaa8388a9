"""The kinds of a problem's tasks, read off their names, for the colours of charts."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MAX_KINDS = 8  # colours that can be told apart; rarer kinds of task share one more

LABEL = re.compile(r'^\w*\s*\[\s*label\s*=\s*"?(.*?)"?\s*\]$')  # of a node in DOT
ARGUMENT = re.compile(r"\s+[(\[].*[)\]]$")  # as in Nextflow's "ALIGN (sample 3)"
# A number, an identifier like those of Pegasus (ID0000005), or one in hexadecimal digits; only
# behind a character that is neither letter nor digit, so that bwa2mem and bowtie2 stay.
HEXADECIMAL = r"(?=[0-9a-fA-F-]*\d)[0-9a-fA-F]{6,}(?:-[0-9a-fA-F]{4,}){0,4}"
COUNTER = re.compile(rf"[\W_]+(?:ID[\W_]*\d+|\d+|{HEXADECIMAL})[\W_]*$")
DIGITS = re.compile(r"\d+$")
WORD = re.compile(r"[^\W_]+")


def kind_of(name: str) -> str:
    """Return a task's name without what counts it.

    Examples
    --------
    >>> [kind_of(name) for name in ("mDiffFit_ID0000005", "split-3", "1000genome_individuals_3")]
    ['mDiffFit', 'split', '1000genome_individuals']
    """
    labelled = LABEL.match(name)
    kind = labelled[1] if labelled else name
    kind = ARGUMENT.sub("", kind)
    while (shorter := COUNTER.sub("", kind)) != kind:
        kind = shorter
    return kind


def task_kinds(
    task_ids: Sequence[str], given: Mapping[str, str] | None = None
) -> tuple[list[str], NDArray[np.uint8]]:
    """Group tasks by kind, for the colours.

    Names that differ only in what counts them are of one kind (see `kind_of`). Where several differ
    only in digits at their very end (t1, t2), these count too. Where that leaves more kinds than
    colours, the first word is the kind, if that helps: if there are several, and few enough or at
    most half as many.

    Parameters
    ----------
    given : kinds by task id, such as the programs that tasks run; tasks without one go by name.

    Returns
    -------
    The kinds, most frequent first (then by name), beyond the eighth as one "other", and just "task"
    where there is but one without a name; and (n_tasks,) which of them each task is.
    """
    known = given or {}
    stems = _by_name([name for name in task_ids if name not in known])
    kinds = [known[name] if name in known else stems[name] for name in task_ids]
    counts = sorted(Counter(kinds).items(), key=lambda item: (-item[1], item[0]))
    names = [kind or "task" for kind, _ in counts]
    if len(names) == 1 and not known:
        names = ["task"]
    if len(names) > MAX_KINDS:
        names = [*names[:MAX_KINDS], "other"]
    number = {kind: min(k, MAX_KINDS) for k, (kind, _) in enumerate(counts)}
    return names, np.array([number[kind] for kind in kinds], dtype=np.uint8)


def _by_name(task_ids: Sequence[str]) -> dict[str, str]:
    stems = {name: kind_of(name) for name in task_ids}
    shorter = _without_digits(set(stems.values()))
    stems = {name: shorter.get(stem, stem) for name, stem in stems.items()}
    found = set(stems.values())
    if len(found) <= MAX_KINDS:
        return stems
    first = {stem: _first_word(stem) for stem in found}
    words = len(set(first.values()))
    if words == 1 or words > max(MAX_KINDS + 1, len(found) // 2):
        return stems
    return {name: first[stem] for name, stem in stems.items()}


def _without_digits(stems: set[str]) -> dict[str, str]:
    """Return shorter names for those that differ only in digits at their end, or all have some."""
    cut = {stem: DIGITS.sub("", stem) for stem in stems if DIGITS.search(stem)}
    everyone = 1 < len(cut) == len(stems)
    alike = Counter(cut.values())
    return {stem: short for stem, short in cut.items() if everyone or alike[short] > 1}


def _first_word(stem: str) -> str:
    found = WORD.search(stem)
    return found[0] if found else stem
