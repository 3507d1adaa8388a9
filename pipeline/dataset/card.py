"""The card of a dataset: a README that says what is in it and how to read it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from deepsched.pipeline.dataset.manifest import label_part
from deepsched.pipeline.dataset.samples import present_splits, sample_file
from deepsched.pipeline.dataset.schema import LABELS, PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from deepsched.pipeline.dataset.manifest import Manifest, Part
    from deepsched.pipeline.dataset.schema import Row

PLAIN = "labels/{}/part-.parquet"
FULL = "full"  # the split of what holds samples of all; "all" is reserved
TAGS = ("scheduling", "task-graph", "dag", "workflow", "heterogeneous-computing", "deepsched")
COUNTED = ("n_tasks", "n_machines", "n_edges")

MEANING = {
    "sample_id": "ending in 9: test, in 8: validation, else training",
    "source": "preset and family, or trace file",
    "status": "ok, or why there is nothing: failed, invalid, timeout, too-large, no-problem",
    "error": "the reason in one line; null where the status is ok",
    "name": "name of the problem",
    "n_tasks": "tasks",
    "n_machines": "machines",
    "n_edges": "edges",
    "task_id": "names of the tasks; null: t0, t1, …",
    "work": "work per task; seconds = work / ((frequency / 2000 MHz) · cores^alpha) · noise",
    "alpha": "exponent of the cores",
    "noise": "factor per task and machine, row by row; null: none",
    "etc": "seconds per task and machine, row by row, inf: does not fit; null where work is given",
    "arrival": "s, no task starts before",
    "priority": "larger is more urgent",
    "memory": "MB (10^6 bytes) per task; it fits on a machine with at least as much",
    "edge_parent": "parent of each edge, position of a task from 0",
    "edge_child": "child of each edge",
    "edge_bytes": "bytes sent along each edge",
    "machine_id": "names of the machines; null: m0, m1, …",
    "machine_cores": "cores; null in all machine columns: see machines.json",
    "machine_frequency": "MHz",
    "machine_memory": "MB, inf: no limit",
    "machine_node": "the node of each machine, which is a slot of it; null: each is its own",
    "bandwidth": "bytes/s: one value for all links, or from-machine by to-machine, row by row",
    "latency": "s, likewise",
    "proc": "machine of each task, from 0",
    "ast": "actual start of each task, s",
    "aft": "actual finish of each task, s",
    "makespan": "s, the latest finish",
    "mean_turnaround": "s, mean of finish - arrival",
    "mean_waiting": "s, mean of start - arrival",
}


def count_row(counts: Counter[str], row: Row) -> None:
    """Add a problem's size, in steps of two, and its source to the counts of a part."""
    for column in COUNTED:
        value = int(row[column])
        counts[f"{column} {1 << (value.bit_length() - 1) if value else 0}"] += 1
    source = str(row["source"])
    folder, _, last = source.rpartition("/")
    counts[f"source {folder if '.' in last and folder else source}"] += 1


def dataset_card(manifest: Manifest, counts: Mapping[str, int]) -> str:
    """Return the card as Markdown, with the head that Hugging Face's `datasets` reads.

    Parameters
    ----------
    counts : of all problems, as :func:`count_row` makes them.
    """
    teacher = next(iter(manifest.labels), None)
    parts = list(manifest.parts())
    text = [
        "---",
        *_head(manifest),
        "---",
        "",
        "# A DeepSched dataset",
        "",
        f"{manifest.samples:,} scheduling problems, each with the schedule of "
        f"{len(manifest.labels)} teachers ({', '.join(manifest.labels)}): {len(parts)} Parquet "
        f"files, {sum(part.bytes for part in parts) / 1e6:,.1f} MB. `manifest.json` lists them "
        f"with their SHA-256; the one over all of them is `{manifest.digest()}`. "
        "`deepsched verify` checks it.",
        "",
        "## Counts",
        "",
        "| files | rows | what the rows are |",
        "|---|---|---|",
        *(
            f"| {name} | {sum(part.rows for part in found):,} | {_states(found)} |"
            for name, found in {"problems": manifest.problems, **manifest.labels}.items()
        ),
        "",
        "## Distributions",
        "",
        *_distributions(counts),
        "## Columns",
        "",
        *_columns("problems", PROBLEMS),
        *_columns("labels", LABELS),
        "The configuration `samples`, the default one, has the small columns of both, one row a "
        "sample: those of a teacher begin with its name (`heft_makespan`). It is divided into "
        "`train`, `validation` and `test`. The parts hold samples of all three, so their "
        f"configurations have one split, `{FULL}`, whose row *k* is sample *k*.",
        "",
        "## Where it comes from",
        "",
        "Made by `deepsched label`, from these settings, with these versions:",
        "",
        "```json",
        json.dumps({"spec": _short(manifest.spec), "made_with": manifest.made_with}, indent=1),
        "```",
        "",
        _licence(manifest),
        "",
        "## Reading it",
        "",
        "```python",
        *_example(teacher, manifest),
        "```",
        "",
    ]
    return "\n".join(text)


def _head(manifest: Manifest) -> list[str]:
    """Return the lines of YAML that Hugging Face's hub and `datasets` read."""
    traces = "traces" in manifest.spec
    licence = ["license: other", "license_name: licence-of-the-traces"]
    head = [
        f"pretty_name: DeepSched, {_origin(manifest)}",
        *(licence if traces else ["license: cc0-1.0"]),
        "task_categories: [graph-ml]",
        f"tags: {json.dumps(TAGS)}",
        f"size_categories: [{json.dumps(size_category(manifest.samples))}]",
        "configs:",
        "- config_name: samples",
        "  default: true",
        "  data_files:",
    ]
    for split in present_splits(manifest.samples):
        head += [f"  - split: {split}", f"    path: {sample_file(split)}"]
    # Whole parts are all that can be chosen here, and each holds samples of all splits.
    parts: dict[str, str | list[str]] = {"problems": "problems/*.parquet"}
    parts |= {f"labels-{teacher}": _files(manifest, teacher) for teacher in manifest.labels}
    for name, files in parts.items():
        head += [f"- config_name: {name}", "  data_files:", f"  - split: {FULL}"]
        head += [f"    path: {json.dumps(files)}"]
    return head


def _origin(manifest: Manifest) -> str:
    spec = manifest.spec
    return json.dumps(spec["preset"])[1:-1] if "preset" in spec else "workflow traces"


def size_category(samples: int) -> str:
    """Return Hugging Face's word for a number of rows, such as "1K<n<10K"."""
    if samples < 1000:
        return "n<1K"
    low = 1000
    while samples >= 10 * low:
        low *= 10
    units = {1: "", 1000: "K", 10**6: "M", 10**9: "B"}

    def short(value: int) -> str:
        unit = max(u for u in units if value >= u)
        return f"{value // unit}{units[unit]}"

    return f"{short(low)}<n<{short(10 * low)}"


def _files(manifest: Manifest, teacher: str) -> str | list[str]:
    """Return a pattern, or the very files where others of an earlier generation lie beside them."""
    names = [part.file for part in manifest.labels[teacher]]
    default = [label_part(teacher, shard) for shard in range(len(names))]
    if names != default or len({len(name) for name in names}) > 1:
        return names
    # Five digits and nothing behind them: a retry that was stopped may have left a part-00000-g2.
    return f"labels/{teacher}/part-{'?' * (len(names[0]) - len(PLAIN.format(teacher)))}.parquet"


def _states(parts: Sequence[Part]) -> str:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part.status)
    return ", ".join(f"{count:,} {status}" for status, count in sorted(total.items()))


def _distributions(counts: Mapping[str, int]) -> list[str]:
    lines = []
    for column in COUNTED:
        found = {int(k.split()[1]): v for k, v in counts.items() if k.startswith(f"{column} ")}
        cells = (f"{_range(low)}: {found[low]:,}" for low in sorted(found))
        lines += [f"* {column[2:]}: {'; '.join(cells)}"]
    sources = {k.removeprefix("source "): v for k, v in counts.items() if k.startswith("source ")}
    named = (f"`{name}` {sources[name]:,}" for name in sorted(sources))
    return [*lines, f"* sources: {', '.join(named)}", ""]


def _range(low: int) -> str:
    return str(low) if low < 2 else f"{low:,}–{2 * low - 1:,}"


def _columns(name: str, schema: pa.Schema) -> list[str]:
    rows = [f"| `{field.name}` | {field.type} | {MEANING[field.name]} |" for field in schema]
    return [f"| {name} | type | meaning |", "|---|---|---|", *rows, ""]


def _short(spec: Mapping[str, object]) -> dict[str, object]:
    traces = spec.get("traces")
    if not isinstance(traces, dict):
        return dict(spec)
    return {**spec, "traces": f"{len(traces)} files, named in spec.json"}


def _licence(manifest: Manifest) -> str:
    if "traces" in manifest.spec:
        return (
            "The graphs, runtimes and file sizes are those of the trace files and stay under the "
            "licence of their owners (WfCommons WfInstances: LGPL-3.0). Only the runtimes are "
            "measured; what a task takes on other machines is modelled."
        )
    return (
        "The problems are generated from random numbers; they contain no one else's data, and are "
        "marked as free for any use (CC0). Change the mark where you publish them otherwise."
    )


def _example(teacher: str | None, manifest: Manifest) -> list[str]:
    problems = manifest.problems[0].file
    lines = [
        "import pyarrow.parquet as pq",
        "",
        f'problems = pq.read_table("{problems}", columns=["sample_id", "n_tasks"]).to_pandas()',
    ]
    if teacher is None:
        return lines
    labels = manifest.labels[teacher][0].file
    return [
        *lines,
        f'labels = pq.read_table("{labels}", columns=["sample_id", "makespan"]).to_pandas()',
        'print(problems.merge(labels, on="sample_id").describe())',
        "",
        "# With the package: problems and schedules as objects, checked on the way.",
        "from deepsched.pipeline.dataset.storage import Dataset",
        "",
        f'for sample in Dataset.open(".").samples("{teacher}", "train"):',
        "    print(sample.problem.name, sample.schedule.makespan)",
        "    break",
        "",
        '# With Hugging Face\'s `datasets`, in place of "." the name of a repository, too:',
        '# samples = datasets.load_dataset(".")  # train, validation, test',
        '# problems = datasets.load_dataset(".", "problems", split="all")',
        f'# labels = datasets.load_dataset(".", "labels-{teacher}", split="all")',
        '# problems.select(samples["train"]["sample_id"])  # labels.select, likewise',
    ]
