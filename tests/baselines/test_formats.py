"""Formats of other programs, each against values worked out by hand from a small file."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

from deepsched.baselines.errors import DeepSchedError, InputWarning, InvalidInput
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.readers import (
    ReadOptions,
    from_networkx,
    problem_from_bytes,
    problem_from_json,
    read_machines,
    read_problem,
    to_networkx,
)
from tests.baselines.test_readers_round_trip import differences, problems

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

DATA = Path(__file__).resolve().parent.parent / "data"
UNIT = ReadOptions(machines=make_machines(1))
GIVEN = ReadOptions(machines=make_machines(1), runtime=5.0)


def edges_by_name(problem: Problem) -> dict[tuple[str, str], float]:
    ids = problem.task_ids
    return {(ids[u], ids[v]): b for u, v, b in zip(*problem.edge_list(), strict=True)}


def works(problem: Problem) -> dict[str, float]:
    return dict(zip(problem.task_ids, problem.etc[:, 0].tolist(), strict=True))


def refused(data: bytes | str, name: str, options: ReadOptions | None = None) -> str:
    """Return the one line that says why bytes are not read."""
    with pytest.raises(DeepSchedError) as caught:
        problem_from_bytes(data.encode() if isinstance(data, str) else data, name, options)
    text = str(caught.value)
    assert text.startswith(name)
    assert text.isprintable()
    return text


# WfFormat


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3", "1.4"])
def test_wfformat_before_1_5_holds_all_in_one_list(version: str) -> None:
    text = (DATA / "old_wfformat.json").read_text().replace('"1.4"', f'"{version}"')
    memory = {"ID1": 2.0, "ID2": 0.0}
    if version != "1.4":
        text = text.replace("runtimeInSeconds", "runtime").replace("sizeInBytes", "size")
        text = text.replace('"memoryInBytes": 2000000', '"memory": 3000')  # KB
        memory["ID1"] = 3.0
    if version == "1.0":
        text = text.replace('"tasks"', '"jobs"')
    problem = problem_from_bytes(text.encode(), "old.json", UNIT)
    assert works(problem) == {"ID1": 4.0, "ID2": 2.5}
    assert edges_by_name(problem) == {("ID1", "ID2"): 100.0}
    assert dict(zip(problem.task_ids, problem.memory.tolist(), strict=True)) == memory
    assert problem.format == "WfFormat"


def test_old_wfformat_may_tell_parents_by_id_or_have_no_ids() -> None:
    text = (DATA / "old_wfformat.json").read_text()
    by_id = text.replace('["split_1"]', '["ID1"]').replace('["left_2"]', '["ID2"]')
    assert edges_by_name(problem_from_bytes(by_id.encode(), "o.json", UNIT)) == {
        ("ID1", "ID2"): 100.0
    }
    without = re.sub(r' "id": "ID\d",', "", text)
    assert works(problem_from_bytes(without.encode(), "o.json", UNIT)) == {
        "split_1": 4.0,
        "left_2": 2.5,
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"link": "output"', '"link": "out"', "tasks[0].files[0].link is 'out'"),
        ('"sizeInBytes": 7', '"sizeInBytes": -7', "tasks[0].files[1].sizeInBytes is -7.0"),
        ('["split_1"]', '["nobody"]', "tasks[1].parents[0]: there is no task 'nobody'"),
        ('"runtimeInSeconds": 2.5', '"runtime": "2"', "tasks[1].runtime is '2'"),
        ('"runtimeInSeconds": 2.5,', "", "tasks[1].runtimeInSeconds is missing; --runtime"),
        ('"name": "f", ', "", "tasks[0].files[0].name is null"),
        ('"ID2"', '"ID1"', "tasks[1].id: 'ID1' is given twice"),
    ],
)
def test_faults_of_old_wfformat_are_named(old: str, new: str, said: str) -> None:
    text = (DATA / "old_wfformat.json").read_text().replace(old, new)
    assert f"o.json: workflow.{said}" in refused(text, "o.json")


def wfformat(**execution: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / "wfformat.json").read_text())
    document["workflow"].update(execution)
    return document


def test_wfformat_of_the_next_version_is_the_same_with_additions() -> None:
    document = wfformat()
    expected = problem_from_json(document, "w", UNIT)
    document["schemaVersion"] = "1.6"
    document["workflow"]["specification"]["metrics"] = {"numberOfTasks": 4}
    document["workflow"]["execution"]["metrics"] = {"totalRuntimeInSeconds": 9}
    assert differences(expected, problem_from_json(document, "w", UNIT)) == []
    document["schemaVersion"] = 1.5
    assert differences(expected, problem_from_json(document, "w", UNIT)) == []


def test_a_specification_alone_needs_a_runtime() -> None:
    document = wfformat()
    del document["workflow"]["execution"]
    text = refused(json.dumps(document), "w.json")
    assert text.endswith(
        "execution is missing, so tasks have no runtimes; --runtime SECONDS gives one to each "
        "such task"
    )
    with pytest.warns(InputWarning, match=r"^w: 4 tasks without a runtime .*each is given 5 s"):
        problem = problem_from_json(document, "w", GIVEN)
    assert set(works(problem).values()) == {5.0}


def test_one_runtime_that_is_missing_may_be_given() -> None:
    document = wfformat()
    for value in (None, "missing"):
        task = document["workflow"]["execution"]["tasks"][1]
        task["runtimeInSeconds"] = None
        if value:
            del task["runtimeInSeconds"]
        with pytest.warns(InputWarning, match="1 task without a runtime"):
            problem = problem_from_json(document, "w", GIVEN)
        assert sorted(works(problem).values()) == [0, 1.5, 2.25, 5]


def test_tasks_without_any_edge_are_warned_of_once() -> None:
    document = wfformat()
    for task in document["workflow"]["specification"]["tasks"]:
        for key in ("parents", "children", "inputFiles", "outputFiles"):
            task[key] = []
    with pytest.warns(InputWarning) as found:
        problem_from_json(document, "w", UNIT)
    assert [str(one.message) for one in found] == [
        "w: 4 tasks and no edge between them: all may run at once"
    ]


# Graphs


def test_dot() -> None:
    problem = read_problem(DATA / "graph.dot", UNIT)
    assert works(problem) == {"1": 4.0, "two": 2.0, "3": 1.5}
    assert edges_by_name(problem) == {("1", "two"): 1e6, ("two", "3"): 2.5e6}
    assert problem.format == "DOT"


def test_snakemakes_graph_has_no_runtimes() -> None:
    data = (DATA / "snakemake.dot").read_bytes()
    assert "node '0' has none of etc, work, runtime" in refused(data, "dag.dot")
    with pytest.warns(InputWarning, match="3 tasks without a runtime"):
        problem = problem_from_bytes(data, "dag.dot", GIVEN)
    assert works(problem) == {"0": 5.0, "1": 5.0, "2": 5.0}
    assert set(edges_by_name(problem)) == {("1", "0"), ("2", "0")}


def test_dot_edges_between_groups_and_names_in_quotes() -> None:
    text = 'digraph { node [runtime=2]; "a b" [runtime=3]; "a b" -> {c d} [size=7] }'
    problem = problem_from_bytes(text.encode(), "g", UNIT)
    assert works(problem) == {"a b": 3.0, "c": 2.0, "d": 2.0}
    assert edges_by_name(problem) == {("a b", "c"): 7.0, ("a b", "d"): 7.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("graph { a -- b }", "undirected"),
        ("digraph { a [work=1]; a -> ", "line 1 column .*: not DOT"),
        ("digraph { a [work=x] }", "node 'a'.work is 'x'; it must be a finite number"),
        ("digraph { a [work=1]; b [work=1]; a -> b; a -> b }", "edge 'a' -> 'b' is given twice"),
        ("digraph { a [work=1] } digraph { b [work=1] }", "2 graphs; give a file with one"),
        ("digraph { a [work=1]; a -> a }", "self-loop"),
        ("digraph { }", "there is no task"),
        ("digraph { a [work=2.5e6] }", "node .a.: numbers with an exponent must be in quotes"),
        ("digraph { a [work=1]; b [work=1]; a -> b [bytes=1e-3] }", "exponent|not DOT"),
        ("digraph { a [work=1]; b [work=1]; a -> b [byte=4] }", "unknown key 'byte'; 'bytes'"),
    ],
)
def test_faults_of_dot_are_named(text: str, said: str) -> None:
    assert re.search(said, refused(text, "g.dot")), refused(text, "g.dot")


def test_what_a_graph_of_others_calls_weight_is_read_and_told() -> None:
    text = "digraph { a [weight=3]; b [weight=4]; a -> b [weight=18] }"
    with pytest.warns(InputWarning) as found:
        problem = problem_from_bytes(text.encode(), "g.dot", UNIT)
    assert works(problem) == {"a": 3.0, "b": 4.0}
    assert edges_by_name(problem) == {("a", "b"): 18.0}
    assert [str(one.message) for one in found] == [
        "g.dot: 'weight' of nodes is read as seconds on a machine of speed 1",
        "g.dot: 'weight' of edges is read as bytes",
    ]


def test_graphs_in_python_must_say_bytes() -> None:
    for name in ("byte", "Bytes", "weight", "size", "data"):
        graph = nx.DiGraph()
        graph.add_node("a", etc=[1.0, None])
        graph.add_node("b", etc=[None, 1.0])
        graph.add_edge("a", "b", **{name: 1.25e9})
        with pytest.raises(InvalidInput, match=rf"edge 'a' -> 'b': .*'{name}'.*'bytes'"):
            from_networkx(graph)
        graph.add_edge("a", "b", bytes=1.25e9)
        if name in ("byte", "Bytes"):
            continue  # one of the two is a slip
        assert heft(from_networkx(graph)).makespan == 12.0


def test_node_link() -> None:
    problem = read_problem(DATA / "node_link.json", UNIT)
    assert works(problem) == {"a": 3.0, "b": 4.0, "3": 1.0}
    assert edges_by_name(problem) == {("a", "b"): 1e6, ("a", "3"): 0.0}
    older = (DATA / "node_link.json").read_text().replace('"edges"', '"links"')
    assert differences(problem, problem_from_bytes(older.encode(), "o.json", UNIT)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"target": 3', '"target": 4', "edges[1].target: there is no node 4"),
        ('"id": 3', '"id": "b"', "nodes[2].id: 'b' is given twice"),
        ('"id": 3', '"id": 1.5', "nodes[2].id is 1.5; it must be a string or whole number"),
        ('"target": 3', '"target": "b"', "edges[1]: edge 'a' -> 'b' is given twice"),
        ('"directed": true', '"directed": false', "an undirected graph"),
        (', "id": "b"', "", "nodes[1].id is missing"),
        ('"source": "a", ', "", "edges[0].source is missing"),
    ],
)
def test_faults_of_node_link_are_named(old: str, new: str, said: str) -> None:
    text = (DATA / "node_link.json").read_text().replace(old, new)
    assert f"n.json: {said}" in refused(text, "n.json")


def test_gml_and_graphml() -> None:
    gml = read_problem(DATA / "graph.gml")
    assert gml.etc.tolist() == [[3.0, 1.5], [4.0, np.inf], [1.0, 0.5]]
    assert edges_by_name(gml) == {("a", "b"): 1e6}
    graphml = read_problem(DATA / "graph.graphml", UNIT)
    assert works(graphml) == {"a": 3.0, "b": 1.5}  # the file's default
    assert edges_by_name(graphml) == {("a", "b"): 1e6}


def sendable(text: str) -> bool:
    """XML has no control characters, and says a line end of its own for some."""
    return all(c in "\t\n" or c >= " " for c in text) and not re.search(
        "[\ufffe\uffff\x7f-\x9f]", text
    )


@given(problem=problems())
@settings(max_examples=40)
@pytest.mark.filterwarnings("ignore:.*and no edge between them")
def test_what_to_networkx_gives_passes_through_every_format(problem: Problem) -> None:
    graph = to_networkx(problem)
    text = json.dumps(nx.node_link_data(graph, edges="edges"), allow_nan=False)
    assert (
        differences(problem, from_networkx(nx.node_link_graph(json.loads(text), edges="edges")))
        == []
    )
    back = problem_from_bytes(text.encode(), "g.json")
    assert differences(problem, back, leave_out=("format",)) == []
    lines = "\n".join(nx.generate_gml(graph))
    assert differences(problem, from_networkx(nx.parse_gml(lines))) == []
    names = (*problem.task_ids, *problem.machines.ids)
    if all(map(sendable, names)):
        text = "\n".join(nx.generate_graphml(graph))
        assert differences(problem, from_networkx(nx.parse_graphml(text))) == []
        back = problem_from_bytes(text.encode(), "g.graphml")
        assert differences(problem, back, leave_out=("format",)) == []


# Pegasus


def test_dax() -> None:
    problem = read_problem(DATA / "workflow.dax", UNIT)
    assert works(problem) == {"ID0": 4.0, "ID1": 2.0, "ID2": 3.5, "ID3": 1.25}
    assert edges_by_name(problem) == {
        ("ID0", "ID1"): 125.0,
        ("ID0", "ID2"): 375.0,
        ("ID1", "ID3"): 10.0,
        ("ID2", "ID3"): 20.0,
    }


DAX = (DATA / "workflow.dax").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('parent ref="ID0"', 'parent ref="ID9"', "a parent of 'ID1': there is no job 'ID9'"),
        ('id="ID1"', 'id="ID0"', "job 2: id: 'ID0' is given twice"),
        ('runtime="2.0"', 'runtime="two"', "job 'ID1': runtime is 'two'"),
        ('runtime="2.0"', "", "job 'ID1' has no runtime; --runtime"),
        ('size="250"/>\n  </job>', 'size="-1"/>\n  </job>', "job 'ID0': the size of 'f2' is '-1'"),
        ("</adag>", "", "not XML: no element found: line"),
        ("<!-- generated -->", '<!DOCTYPE a [<!ENTITY b "c">]>', "XML with entities is not read"),
    ],
)
def test_faults_of_dax_are_named(old: str, new: str, said: str) -> None:
    assert f"w.dax: {said}" in refused(DAX.replace(old, new), "w.dax")


def test_entities_are_refused_before_they_grow() -> None:
    entities = "".join(f'<!ENTITY e{k} "&e{k - 1};&e{k - 1};">' for k in range(1, 40))
    bomb = f'<!DOCTYPE a [<!ENTITY e0 "x">{entities}]>'
    outside = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    for head in (bomb, outside):
        for text, root in ((DAX, "<adag"), ((DATA / "graph.graphml").read_text(), "<graphml")):
            changed = text.replace(root, head + root, 1)
            assert "XML with entities is not read" in refused(changed, "x.xml")


def test_files_without_sizes_are_warned_of() -> None:
    text = re.sub(r' size="\d+"', "", DAX)
    with pytest.warns(InputWarning, match=r"4 files without a size \('f1', 'f2', …\)"):
        problem = problem_from_bytes(text.encode(), "w.dax", UNIT)
    assert set(edges_by_name(problem).values()) == {0.0}


def test_pegasus() -> None:
    problem = read_problem(DATA / "pegasus.yml", UNIT)
    assert works(problem) == {"ID1": 4.5, "ID2": 2.0}
    assert edges_by_name(problem) == {("ID1", "ID2"): 1250.0}


YAML = (DATA / "pegasus.yml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[ID2]", "[ID7]", "jobDependencies[0].children[0]: there is no job 'ID7'"),
        ('runtime: "2"', 'runtime: "-2"', "jobs[1].profiles.pegasus.runtime is '-2'"),
        ('runtime: "2"', "priority: 1", "jobs[1] has no runtime in its profiles; --runtime"),
        ("id: ID2", "id: ID1", "jobs[1].id: 'ID1' is given twice"),
        ("name: pair", "name: *a", "line 5: an alias (*a), which is not read"),
        ("name: pair", "name: !!python/object/apply:os.system [ls]", "line 5: a tag"),
        ("name: pair", "pegasus: 6", "line 5: key 'pegasus' is given twice"),
        ("name: pair", "name: [", "not YAML"),
        ("x-pegasus", "---\n---\nx-pegasus", "line 2: a second document"),
    ],
)
def test_faults_of_pegasus_are_named(old: str, new: str, said: str) -> None:
    assert said in refused(YAML.replace(old, new, 1), "w.yml")


def test_yaml_does_not_grow_by_aliases() -> None:
    lists = "\n".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12))
    assert "an alias" in refused(f"a0: &a0 [x]\n{lists}\n{YAML}", "w.yml")


# The rest


def test_saga() -> None:
    problem = read_problem(DATA / "saga.json")
    assert problem.machines.ids == ("fast", "slow")
    assert problem.etc.tolist() == [[2.0, 8.0], [1.0, 4.0]]
    assert edges_by_name(problem) == {("a", "b"): 10.0}
    assert problem.machines.bandwidth[0, 1] == problem.machines.bandwidth[1, 0] == 5.0
    assert problem.name == "pair"
    document = json.loads((DATA / "saga.json").read_text())
    graph = problem_from_json(document["task_graph"], "g.json", UNIT)
    assert works(graph) == {"a": 4.0, "b": 2.0}


def test_a_network_of_saga_serves_as_machines(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_text(json.dumps(json.loads((DATA / "saga.json").read_text())["network"]))
    assert read_machines(path).ids == ("fast", "slow")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"target": "slow", "speed": 5.0', '"target": "slow", "speed": 0', "edges[2].speed is 0.0"),
        ('"fast", "target": "slow"', '"slow", "target": "slow"', "no link 'fast' - 'slow'"),
        ('"target": "slow", "speed": 5', '"target": "new", "speed": 5', "there is no node 'new'"),
        ('"cost": 4.0', '"cost": "x"', "task_graph.tasks[0].cost is 'x'"),
        ('"target": "b"', '"target": "c"', "dependencies[0].target: there is no task 'c'"),
        (', "size": 10.0', "", "task_graph.dependencies[0].size is missing"),
    ],
)
def test_faults_of_saga_are_named(old: str, new: str, said: str) -> None:
    assert said in refused((DATA / "saga.json").read_text().replace(old, new), "s.json")


def test_job_shop() -> None:
    problem = read_problem(DATA / "shop.jsp")
    assert problem.task_ids == ("j0o0", "j0o1", "j1o0", "j1o1")
    inf = np.inf
    assert problem.etc.tolist() == [[3, inf], [inf, 2], [inf, 4], [1.5, inf]]
    assert edges_by_name(problem) == {("j0o0", "j0o1"): 0, ("j1o0", "j1o1"): 0}
    assert heft(problem).makespan == 6.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2 2\n0 3 1 2\n", "line 2: 2 jobs are announced, 1 rows follow"),
        ("2 2\n0 3 1 2\n1 4 1 5\n", "line 3: machine 1 of operation 1 is visited twice"),
        ("2 2\n0 3 1 2\n1 4 2 5\n", "line 3: machine 2 of operation 1 is not one of 2"),
        ("2 2\n0 3 1 2\n1 4 0 x\n", "line 3: the time of operation 1 is 'x'"),
        ("2 2\n0 3 1\n1 4 0 5\n", "line 2: 3 numbers; job 0 needs a machine and a time"),
    ],
)
def test_faults_of_job_shops_are_named(text: str, said: str) -> None:
    assert said in refused(text, "s.jsp", ReadOptions(format="jsp"))


def test_tgff() -> None:
    problem = read_problem(DATA / "graph.tgff")
    assert problem.machines.ids == ("core0", "core1")
    assert problem.etc.tolist() == [[10.0, np.inf], [6.0, 3.5], [6.0, 3.5]]
    assert edges_by_name(problem) == {("t0_0", "t0_1"): 5.0, ("t0_0", "t0_2"): 6.5}


def test_tgff_without_times_is_warned_of() -> None:
    text = (DATA / "graph.tgff").read_text().split("@CORE")[0]
    with pytest.warns(InputWarning, match="3 tasks without a runtime .*: each is given 1 s"):
        problem = problem_from_bytes(text.encode(), "g.tgff", UNIT)
    assert set(works(problem).values()) == {1.0}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("TO  t0_1 TYPE 0", "TO  t9 TYPE 0", "line 16: there is no task 't9'"),
        ("TO  t0_1 TYPE 0", "TO  t0_1 TYPE 4", "line 16: no @COMMUN_QUANT has .* '4'"),
        ("TASK t0_1", "TASK t0_0", "line 13: task 't0_0' is given twice"),
        ("1          6.5", "1          x", "line 6: the quantity is 'x'"),
        ("TASK t0_0\tTYPE 1", "TASK t0_0\tTYPE 7", "no machine can run task 't0_0'"),
    ],
)
def test_faults_of_tgff_are_named(old: str, new: str, said: str) -> None:
    text = (DATA / "graph.tgff").read_text().replace(old, new)
    assert re.search(said, refused(text, "g.tgff"))


def test_dslab() -> None:
    problem = read_problem(DATA / "dslab.yaml", UNIT)
    assert works(problem) == {"A": 100.0, "B": 200.0}
    assert problem.memory.tolist() == [10.0, 0.0]
    assert edges_by_name(problem) == {("A", "B"): 150e6}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("      - o\n", "      - p\n", "tasks[1].inputs[0]: nothing writes 'p'"),
        ("size: 150", "size: -1", "tasks[0].outputs[0].size is -1.0"),
        ("flops: 200", "flops: many", "tasks[1].flops is 'many'"),
        ("max_cores: 2", "resource_restriction: {type: only}", "tasks[1].resource_restriction"),
    ],
)
def test_faults_of_dslab_are_named(old: str, new: str, said: str) -> None:
    assert said in refused((DATA / "dslab.yaml").read_text().replace(old, new), "d.yaml")


def test_alibaba() -> None:
    problem = read_problem(DATA / "batch_task.csv", UNIT)
    assert works(problem) == {
        "j_1/M1": 4.0,
        "j_1/R2_1": 2.0,
        "j_1/J3_1_2": 3.0,
        "j_2/task_abc": 1.0,
    }
    assert set(edges_by_name(problem)) == {
        ("j_1/M1", "j_1/R2_1"),
        ("j_1/M1", "j_1/J3_1_2"),
        ("j_1/R2_1", "j_1/J3_1_2"),
    }
    assert problem.arrival.tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("M1,", "M4,", "line 2: 'j_1/R2_1' waits for number 1 of its job"),
        ("M1,", "M1_3,", "cycle"),
        ("14,16", "16,14", "line 2: end_time 14 is before start_time 16"),
        ("R2_1,", "R1,", "line 2: job 'j_1' has two tasks of number 1"),
        ("Terminated,14", "Failed,14", "line 2: the task is 'Failed', so it has no runtime"),
        (",50,0.2\nJ3", ",50\nJ3", "line 2: 8 fields for 9 columns"),
    ],
)
def test_faults_of_alibaba_are_named(old: str, new: str, said: str) -> None:
    text = (DATA / "batch_task.csv").read_text().replace(old, new)
    assert said in refused(text, "batch_task.csv")


# CSV dialects

JOBS = "job_id,arrival_time,burst_time,priority,mem_util\n1,0,4,1,10\n2,0,2,1,10\n"
DIALECTS = {
    "byte order mark and CRLF": "\ufeff" + JOBS.replace("\n", "\r\n"),
    "CR": JOBS.replace("\n", "\r"),
    "case": JOBS.title(),
    "upper case": JOBS.upper(),
    "comment": "# made by\n" + JOBS,
    "comments and blank lines": "\n# a\n\n" + JOBS.replace("2,0", "\n# two, and more\n2,0"),
    "semicolons": JOBS.replace(",", ";"),
    "tabs": JOBS.replace(",", "\t"),
    "bars": JOBS.replace(",", "|"),
    "blanks around": JOBS.replace(",", " , "),
    "quotes": JOBS.replace("job_id", '"job_id"').replace("1,0,4", '"1",0,"4"'),
    "index column": "," + JOBS.replace("1,0,4", "0,1,0,4").replace("2,0,2", "1,2,0,2"),
    "trailing commas": JOBS.replace("10\n", "10,\n"),
    "trailing commas everywhere": JOBS.replace("\n", ",\n"),
    "scientific": JOBS.replace(",4,", ",4E+00,"),
}


@pytest.mark.parametrize("text", DIALECTS.values(), ids=DIALECTS.keys())
def test_dialects_of_csv(text: str) -> None:
    problem = problem_from_bytes(text.encode(), "j", UNIT)
    assert works(problem) == {"1": 4.0, "2": 2.0}
    assert problem.memory.tolist() == [10, 10]


def test_a_delimiter_may_be_given() -> None:
    text = JOBS.replace(",", "~")
    assert "taken to be separated by a comma" in refused(text, "j.csv")
    options = ReadOptions(machines=make_machines(1), delimiter="~", format="jobs-csv")
    assert works(problem_from_bytes(text.encode(), "j.csv", options)) == {"1": 4.0, "2": 2.0}
    for bad in ("", ";;", '"', "\n"):
        with pytest.raises(InvalidInput, match=r"delimiter .*must be one character"):
            ReadOptions(delimiter=bad)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (JOBS.replace(",", ";").replace(";4;", ";4,5;"), "line 2: burst_time has a decimal comma"),
        (JOBS.replace("1,0,4", "1,0,4,5"), "line 2: 6 fields for 5 columns; .* decimal point"),
        (JOBS.replace("2,0,2", "1.0,0,2"), "line 3: job_id '1.0' is the same number as '1' in"),
        (JOBS.replace("2,0,2", "01,0,2"), "line 3: job_id '01' is the same number as '1' in"),
        (JOBS.replace("4,1,10", "4,,10"), "line 2: priority is ''"),
        (JOBS.replace(",4,", ",nan,"), "line 2: burst_time is 'nan'"),
        (JOBS.replace("burst_time", "burst"), "no column 'burst_time' .'burst' is near."),
        (JOBS.replace(",", " "), "separated by blanks"),
        (JOBS + "#3,0,4,1,10\n", "line 4: a comment, or a row"),
    ],
)
def test_faults_of_csv_are_named(text: str, said: str) -> None:
    assert re.search(said, refused(text, "j.csv")), refused(text, "j.csv")


# Compression


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


PLAIN = (DATA / "wfformat.json").read_bytes()
PACKED = {
    "gzip": gzip.compress(PLAIN),
    "bz2": bz2.compress(PLAIN),
    "xz": lzma.compress(PLAIN),
    "zip": zipped(w=PLAIN),
    "gzip in gzip": gzip.compress(gzip.compress(PLAIN)),
    "xz in zip": zipped(w=lzma.compress(PLAIN)),
    "two bz2 streams": bz2.compress(PLAIN[:99]) + bz2.compress(PLAIN[99:]),
}


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED.keys())
def test_packed_files_are_read(data: bytes) -> None:
    expected = problem_from_bytes(PLAIN, "w", UNIT)
    assert differences(expected, problem_from_bytes(data, "w", UNIT)) == []


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.add(DATA / "wfformat.json", "w.json")
    return out.getvalue()


REFUSED = {
    "zstd": (b"\x28\xb5\x2f\xfd rest", "compressed by zstd; unpack it first"),
    "lz4": (b"\x04\x22\x4d\x18 rest", "compressed by lz4"),
    "7z": (b"7z\xbc\xaf\x27\x1c", "compressed by 7-Zip"),
    "tar": (tarred(), "a tar archive; unpack it"),
    "zip of two": (zipped(a=b"1", b=b"2"), "a zip of 2 files .'a', 'b'.; unpack it"),
    "zip of none": (zipped(), "a zip without a file"),
    "spreadsheet": (zipped(**{"[Content_Types].xml": b"", "x": b""}), "an office document"),
    "truncated bz2": (PACKED["bz2"][:-9], "truncated bz2"),
    "damaged bz2": (PACKED["bz2"][:20] + b"\xff" * 20, "damaged bz2|truncated bz2"),
    "truncated xz": (PACKED["xz"][:-9], "truncated xz"),
    "damaged xz": (PACKED["xz"][:30] + bytes(40) + PACKED["xz"][70:], "damaged xz"),
    "truncated zip": (PACKED["zip"][:-9], "damaged zip"),
    "gzip of gzip of gzip of gzip": (
        gzip.compress(gzip.compress(gzip.compress(gzip.compress(PLAIN)))),
        "compressed more than 3 times over",
    ),
    "Parquet": (b"PAR1....", "a Parquet file, not a workflow"),
}


@pytest.mark.parametrize(("data", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_unpacked_says_what_it_is(data: bytes, said: str) -> None:
    assert re.search(said, refused(data, "w.json"))


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, lambda data: zipped(w=data)])
def test_what_unpacks_without_end_is_refused(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepsched.baselines.readers.packed.MAX_BYTES", 2**21)
    assert "larger than 2 MiB" in refused(pack(b" " * 2**24), "bomb")


# Detection

RCPSP = "2 2\n4 4\n1 2 0 1 2\n3 1\n"  # as many numbers as an ETC matrix of 4 would have behind it
STRANGERS = {
    "Nextflow": (
        "task_id\thash\tname\tstatus\trealtime\tpeak_rss\n1\tab/cd\tx (1)\tCOMPLETED\t4s\t1 GB\n",
        "a trace of Nextflow: it has tasks and no dependencies",
    ),
    "SWF": ("; header\n1 0 5 100 4 -1 -1 4 200 -1 1 1 1 1 1 -1 -1 -1\n", "Standard Workload"),
    "PSPLIB": ("***\nfile\nPRECEDENCE RELATIONS:\njobnr.\n", "a project of PSPLIB"),
    "machines": ((DATA / "machines.csv").read_text(), "a list of machines, not a problem"),
    "HTML": ("<!DOCTYPE html>\n<html></html>", "a web page"),
    "Git LFS": ("version https://git-lfs.github.com/spec/v1\noid x\n", "a pointer of Git LFS"),
    "program": ("#!/bin/sh\nls\n", "a program or a workflow's source"),
}


@pytest.mark.parametrize(("text", "said"), STRANGERS.values(), ids=STRANGERS.keys())
def test_strangers_are_known_by_name(text: str, said: str) -> None:
    for name in ("file", "file.txt", "file.csv"):
        assert said in refused(text, name)


def test_numbers_that_agree_do_not_make_an_etc_matrix() -> None:
    rcpsp = "3 2\n4 5\n0 1 2\n6\n"  # rows of different lengths, six numbers below the header
    text = refused(rcpsp, "p.rcp")
    assert "rows of an ETC matrix have one number each or 2" in text
    assert "--format hcsp" in text
    forced = problem_from_bytes(rcpsp.encode(), "p.rcp", ReadOptions(format="hcsp"))
    assert forced.etc.tolist() == [[4, 5], [0, 1], [2, 6]]
    assert "the header must be: tasks machines 0" in refused("1 2 3\n4 5\n", "p")


def test_a_format_may_be_forced() -> None:
    numbers = b"3\n5\n7.5\n"
    options = ReadOptions(machines=make_machines(1), format="gocj")
    assert works(problem_from_bytes(numbers, "n", options)) == {"0": 0.003, "1": 0.005, "2": 0.0075}
    with pytest.raises(DeepSchedError, match=r"unknown format 'xyz'; one of: .*gocj"):
        problem_from_json({}, "n", ReadOptions(format="xyz"))
    # The reader that is asked for says what is wrong.
    assert "not DOT" in refused(numbers, "n", ReadOptions(format="dot"))
    assert "schemaVersion is missing" in refused(b"{}", "n", ReadOptions(format="wfformat"))


@pytest.mark.parametrize("runtime", [-1.0, float("nan"), float("inf")])
def test_a_runtime_is_a_finite_number(runtime: float) -> None:
    with pytest.raises(InvalidInput, match="runtime"):
        ReadOptions(runtime=runtime)
