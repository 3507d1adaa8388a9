"""The client of the service: what it sends, how it reads, and what it hides from its user."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import draw_machines, make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.baselines.schedule import violations
from deepsched.client import Answered, AsyncClient, Client, ServiceError
from deepsched.pipeline.client import bodies, conversations
from deepsched.pipeline.client.bodies import chunks
from deepsched.pipeline.client.conversations import Service
from deepsched.pipeline.client.exchange import Reply, Request
from deepsched.pipeline.client.patience import Patience
from deepsched.pipeline.wire.arrow import answers_to_stream
from deepsched.pipeline.wire.streams import CONTENT_TYPE as ARROW
from tests.pipeline.cli_helpers import EXAMPLE, ROOT
from tests.pipeline.stub_service import TIMING, Stub, stub_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deepsched.pipeline.client.exchange import Conversation


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_service() as running:
        yield running


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPSCHED_TOKEN", raising=False)
    monkeypatch.setattr(conversations, "FIRST_POLL", 0.01)


class Awaited:
    """An `AsyncClient`, or what it returned, as a blocking one: each call is awaited."""

    def __init__(self, loop: asyncio.AbstractEventLoop, inner: Any) -> None:
        self._loop = loop
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            result = found(*args, **options)
            if inspect.isasyncgen(result):
                return self._loop.run_until_complete(_all(result))
            if inspect.isawaitable(result):
                result = self._loop.run_until_complete(result)
            return Awaited(self._loop, result) if hasattr(result, "watch") else result

        return call


async def _all(items: Any) -> list[Any]:
    return [item async for item in items]


@pytest.fixture(params=["blocking", "awaiting"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Return a function that makes a client of one kind; what it makes is closed afterwards."""
    made: list[Any] = []
    loop = asyncio.new_event_loop()

    def new(url: str, *args: Any, **options: Any) -> Any:
        if request.param == "blocking":
            made.append(Client(url, *args, **options))
        else:
            made.append(Awaited(loop, AsyncClient(url, *args, **options)))
        return made[-1]

    yield new
    for client in made:
        client.close()
    loop.close()


def problem(seed: int = 0, name: str = "problem") -> Problem:
    rng = np.random.default_rng(seed)
    return make_problem(
        machines=make_machines(3, ids=["a", "b", "c"]),
        etc=rng.uniform(1, 9, (5, 3)),
        edges=([0, 0, 1], [1, 2, 4], [1e6, 0.1, 3e8]),
        task_ids=["☃", "two", "three", "four", "five"],
        name=name,
    )


def test_a_problem_comes_back_scheduled(stub: Stub, make: Any) -> None:
    client, asked = make(stub.url), problem()
    schedule = client.schedule(asked, samples=8, guard=False)
    assert violations(asked, schedule) == []
    assert (schedule.scheduler, schedule.winner) == ("deepsched", "heft")
    for name in ("proc", "ast", "aft"):
        assert getattr(schedule, name).tobytes() == getattr(heft(asked), name).tobytes()
    assert stub.paths() == ["PUT /v1/machines", "POST /v1/schedule"]
    assert {key: stub.seen[1].query[key] for key in ("samples", "guard")} == {
        "samples": "8",
        "guard": "false",
    }


def test_the_whole_answer_is_there_too(stub: Stub, make: Any) -> None:
    asked = problem()
    answered = make(stub.url).ask(asked, "peft")
    assert isinstance(answered, Answered)
    answer = answered.answer
    assert (answer.scheduler, answer.model_version) == ("peft", "ab" * 32)
    assert answer.makespan == answered.schedule.makespan
    assert answer.timing.parse == 0.001
    assert [task.id for task in answer.tasks] == list(asked.task_ids)
    assert answer.tasks[1].machine == asked.machines.ids[answered.schedule.proc[1]]


def test_machines_are_told_once(stub: Stub, make: Any) -> None:
    client, asked = make(stub.url), problem()
    for number in (0, 1):
        client.schedule(asked)
        client.schedule(problem(number))  # equal machines, another object
    assert stub.paths().count("PUT /v1/machines") == 1


def test_machines_that_were_forgotten_are_told_again(stub: Stub, make: Any) -> None:
    client, asked = make(stub.url), problem()
    client.schedule(asked)
    stub.machines.clear()
    client.schedule(asked)
    assert stub.paths()[2:] == ["POST /v1/schedule", "PUT /v1/machines", "POST /v1/schedule"]


def test_machines_travel_along_where_they_are_never_known(make: Any) -> None:
    with stub_service(remembers=False) as forgetful:
        client = make(forgetful.url)
        schedule = client.schedule(problem())
    assert schedule.makespan == heft(problem()).makespan
    assert "machines_sha256" not in forgetful.seen[-1].query


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "dict"])
def test_files_and_documents_go_as_they_are(
    stub: Stub, make: Any, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "example.json"
    path.write_text(EXAMPLE)
    asked = {
        "path": path,
        "text": str(path),
        "bytes": EXAMPLE.encode(),
        "dict": json.loads(EXAMPLE),
    }[kind]
    answered = make(stub.url).ask(asked)
    assert answered.schedule.makespan == 8
    assert answered.schedule.proc.tolist() == [0, 0, 1, 1]
    assert answered.answer.tasks[3].machine == "slow"
    if kind != "dict":
        assert stub.seen[0].body == EXAMPLE.encode()


def test_a_file_of_another_format_goes_too(stub: Stub, make: Any) -> None:
    schedule = make(stub.url).schedule(ROOT / "tests/data/tiny.stg", machines=4)
    assert schedule.proc.max() < 4
    assert stub.seen[0].query["machines"] == "4"


def test_many_go_in_few_requests(stub: Stub, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_ROWS", 3)
    asked = [
        generate(GeneratorSpec(family="layered", tasks=9, machines=2 + k % 3, noise=0.2), k)
        for k in range(8)
    ]
    client = make(stub.url)
    schedules = client.schedule_many(asked)
    for each, schedule in zip(asked, schedules, strict=True):
        assert violations(each, schedule) == []
    assert stub.paths().count("POST /v1/schedule:batch") == 3
    assert client.schedule_many([]) == []


def test_one_of_many_that_is_refused_does_not_cost_the_others(stub: Stub, make: Any) -> None:
    asked = [problem(0), problem(1, "refuse me"), problem(2)]
    client = make(stub.url)
    first, second, third = client.ask_many(asked)
    assert isinstance(first, Answered)
    assert isinstance(third, Answered)
    assert isinstance(second, ServiceError)
    assert second.status == 413
    with pytest.raises(ServiceError, match=r"problem 1: .* answers 413: too large for me"):
        client.schedule_many(asked)


def test_requests_are_bounded_by_bytes() -> None:
    machines = draw_machines(1000, 0)
    large = [make_problem(machines=machines, etc=np.ones((1000, 1000))) for _ in range(5)]
    assert [len(chunk) for chunk in chunks(large)] == [1, 1, 1, 1, 1]
    assert [len(chunk) for chunk in chunks([problem()] * 600)] == [256, 256, 88]


def test_several_problems_are_problems(stub: Stub, make: Any) -> None:
    with pytest.raises(InvalidInput, match=r"problem 1 is a str; .*read_problem"):
        make(stub.url).schedule_many([problem(), "a.json"])
    assert stub.seen == []


@pytest.mark.parametrize(
    "faults",
    [
        ["drop"],
        ["drop", "drop", "cut"],
        ["cut"],
        [(503, {"Retry-After": "0"})],
        [(429, {"Retry-After": "0"}), (502, {})],
    ],
    ids=str,
)
def test_what_passes_is_tried_again(stub: Stub, make: Any, faults: list[Any]) -> None:
    client = make(stub.url)
    client.schedule(problem())
    stub.faults = list(faults)
    assert client.schedule(problem()).makespan == heft(problem()).makespan
    assert len(stub.seen) == 3 + len(faults)


def test_a_service_that_asks_for_time_gets_it(stub: Stub, make: Any) -> None:
    stub.faults = [(503, {"Retry-After": "1"})]
    said: list[str] = []
    started = time.monotonic()
    make(stub.url, waiting=said.append).schedulers()
    assert time.monotonic() - started >= 1
    assert said == [f"{stub.url} answers 503: told to; trying again"]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 413, 415, 500, 504])
def test_what_will_not_pass_is_not_tried_again(stub: Stub, make: Any, status: int) -> None:
    stub.faults = [(status, {})]
    with pytest.raises(ServiceError, match=f"answers {status}: told to$") as caught:
        make(stub.url).schedulers()
    assert caught.value.status == status
    assert len(stub.seen) == 1
    assert pickle.loads(pickle.dumps(caught.value)).status == status


def test_patience_ends(stub: Stub, make: Any) -> None:
    stub.faults = [(503, {"Retry-After": "1"})] * 9
    started = time.monotonic()
    with pytest.raises(ServiceError, match="503"):
        make(stub.url, retry_for=0.5).schedulers()
    assert time.monotonic() - started < 0.5  # it asks for longer than there is
    stub.faults = ["drop"] * 99
    with pytest.raises(ServiceError, match="broke off"):
        make(stub.url, retry_for=0.5).schedulers()
    assert 2 < len(stub.seen) < 12
    stub.faults = ["drop"]
    with pytest.raises(ServiceError):
        make(stub.url, retry_for=0).schedulers()


def test_waits_double_up_to_an_end() -> None:
    now = [0.0]
    patience = Patience(10.0, lambda: now[0])
    waits = []
    while (wait := patience.wait()) is not None:
        waits.append(wait)
        now[0] += wait
    assert 0.1 <= waits[0] <= 0.125
    assert 0.2 <= waits[1] <= 0.25
    assert max(waits) <= 2.5
    assert now[0] == pytest.approx(10)  # the last try is at the very end
    assert Patience(0.0, lambda: now[0]).wait() is None


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_a_service_that_comes_back_is_not_noticed(make: Any) -> None:
    with stub_service() as first:
        client = make(first.url)
        client.schedule(problem())
    port = int(first.url.rpartition(":")[2])
    back, done = threading.Event(), threading.Event()

    def later() -> None:
        time.sleep(0.8)
        with stub_service(port) as second:
            done.wait(30)
            if second.paths() == ["POST /v1/schedule", "PUT /v1/machines", "POST /v1/schedule"]:
                back.set()

    thread = threading.Thread(target=later, daemon=True)
    thread.start()
    assert client.schedule(problem()).makespan == heft(problem()).makespan
    done.set()
    thread.join()
    assert back.is_set()  # and the second, which knows no machines, was told them


def test_nobody_there_is_one_line(make: Any) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceError, match=f"^{url} cannot be reached: ") as caught:
        make(url, retry_for=0.3).schedule(problem())
    assert caught.value.status is None
    assert "\n" not in str(caught.value)


def test_an_answer_that_does_not_come_is_one_line(make: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ServiceError, match="gave no answer in time"):
            make(url, timeout=0.3).schedulers()
        assert time.monotonic() - started < 5


def test_tokens(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with stub_service(token="secret") as guarded:
        with pytest.raises(ServiceError, match=r"answers 401: a token is needed") as caught:
            make(guarded.url).schedule(problem())
        assert caught.value.status == 401
        make(guarded.url, "secret").schedule(problem())
        monkeypatch.setenv("DEEPSCHED_TOKEN", "secret")
        client = make(guarded.url)
        client.schedule(problem())
        assert "secret" not in repr(client)
    with pytest.raises(InvalidInput, match="one word of printable ASCII"):
        make(guarded.url, "two words")


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://host", "http://", "", "http://a:b@host", "http://host:port"]
)
def test_an_address_that_is_none_is_one_line(make: Any, url: str) -> None:
    with pytest.raises(InvalidInput):
        make(url)


@pytest.mark.parametrize(
    ("patched", "line"),
    [
        ({"aft": np.full(5, 1e-3)}, "its schedule breaks a rule: "),
        ({"proc": np.full(5, 7)}, "machine index 7, the problem has 3 machines"),
        ({"proc": np.zeros(2), "ast": np.zeros(2), "aft": np.zeros(2)}, "it has 2 tasks"),
        ({"makespan": None}, "makespan is null"),
    ],
)
def test_a_wrong_answer_is_not_passed_on(
    stub: Stub, make: Any, patched: dict[str, Any], line: str
) -> None:
    stub.patched = patched
    with pytest.raises(ServiceError, match="no answer of a DeepSched service: ") as caught:
        make(stub.url).schedule(problem())
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_rules_need_not_be_checked(stub: Stub, make: Any) -> None:
    stub.patched = {"aft": np.full(5, 1e-3)}
    assert make(stub.url).schedule(problem(), check=False).aft.max() == 1e-3


def test_what_is_no_answer_of_a_service_is_one_line(stub: Stub, make: Any) -> None:
    stub.patched = {"tasks": 3}
    with pytest.raises(ServiceError, match=r"no answer of a DeepSched service: tasks: "):
        make(stub.url).schedule(EXAMPLE.encode())


def test_a_job_is_watched_and_read(stub: Stub, make: Any) -> None:
    job = make(stub.url).submit(problem(), samples=4)
    posted = next(one for one in stub.seen if one.path == "/v1/jobs")
    assert posted.query["budget"] == "60.0"
    assert [(now.state, now.makespan) for now in job.watch()] == [
        ("running", 9.0),
        ("running", 8.5),
        ("done", 8.0),
    ]
    assert job.result().makespan == heft(problem()).makespan
    assert job.answer().answer.model == "deepsched"
    assert job.status().state == "done"


def test_a_retry_makes_no_second_job(stub: Stub, make: Any) -> None:
    client = make(stub.url)
    client.schedule(problem())
    stub.faults = ["cut", "cut"]
    client.submit(problem(), "ga")
    assert len(stub.job_keys) == 3
    assert len(set(stub.job_keys)) == len(stub.jobs) == 1
    assert "budget" not in stub.seen[-1].query  # the network's
    client.submit(problem())
    assert len(stub.jobs) == 2


def test_a_job_is_cancelled_and_found_again(stub: Stub, make: Any) -> None:
    client = make(stub.url)
    job = client.submit(EXAMPLE.encode())
    again = client.job(job.id)
    assert again.cancel().state == "cancelled"
    with pytest.raises(ServiceError, match="answers 410: the job is cancelled"):
        job.result()
    with pytest.raises(ServiceError, match="answers 404: there is no job 7"):
        client.job("7").status()


def test_a_job_that_failed_says_why(stub: Stub, make: Any) -> None:
    job = make(stub.url).submit(problem())
    stub.jobs[job.id] |= {"state": "failed", "error": "not done within 600 s"}
    with pytest.raises(ServiceError, match=f"job {job.id} failed: not done within 600 s"):
        job.result()


def test_a_job_without_its_problem_has_a_schedule(stub: Stub, make: Any) -> None:
    client = make(stub.url)
    job = client.job(client.submit(problem()).id)
    assert job.result().makespan == heft(problem()).makespan
    with pytest.raises(InvalidInput, match="give the problem"):
        _ = job.answer().answer
    again = client.job(job.id, problem())
    assert again.answer().answer.tasks[0].id == "☃"


def test_what_the_service_is(stub: Stub, make: Any) -> None:
    client = make(stub.url)
    assert [model.name for model in client.models()] == ["deepsched"]
    assert client.schedulers().default == "deepsched"
    ready = client.ready()
    assert (ready.status, ready.reason) == ("not ready", "starting")
    assert len(stub.seen) == 3


@pytest.mark.parametrize("asked", [3, None, {"a": {1, 2}}, {"a": float("nan")}, "no/such/file"])
def test_what_is_no_problem_is_one_line(stub: Stub, make: Any, asked: Any) -> None:
    with pytest.raises(InvalidInput):
        make(stub.url).schedule(asked)
    assert stub.seen == []


def test_options_of_reading_are_not_for_a_problem(stub: Stub, make: Any) -> None:
    client = make(stub.url)
    for call in (
        client.schedule,
        client.submit,
        lambda asked, **how: client.ask_many([asked], **how),
    ):
        with pytest.raises(InvalidInput, match="noise is for a file or a document"):
            call(problem(), noise=0.2)
    assert stub.seen == []


def test_threads_share_a_client(stub: Stub) -> None:
    found: list[float] = []
    with Client(stub.url) as client:

        def work(seed: int) -> None:
            asked = problem(seed)
            found.extend(client.schedule(asked).makespan - heft(asked).makespan for _ in range(5))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [0.0] * 40


def test_coroutines_share_a_client(stub: Stub) -> None:
    async def main() -> list[float]:
        async with AsyncClient(stub.url) as client:
            asked = [problem(seed) for seed in range(20)]
            found = await asyncio.gather(*(client.schedule(each) for each in asked))
        pairs = zip(found, asked, strict=True)
        return [schedule.makespan - heft(each).makespan for schedule, each in pairs]

    assert asyncio.run(main()) == [0.0] * 20


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    import ssl

    from deepsched.pipeline.client.connections import broken

    error = httpx.ConnectError("[SSL] failed")
    error.__cause__ = ssl.SSLCertVerificationError(1, "no")
    error.__cause__.verify_message = "self-signed"
    assert broken(error).again is False
    assert "self-signed" in broken(error).message
    unknown = httpx.ConnectError("no name")
    unknown.__cause__ = socket.gaierror(socket.EAI_NONAME, "not known")
    assert broken(unknown).again is False


def test_importing_it_loads_nothing_and_a_missing_package_is_one_line() -> None:
    code = (
        "import sys, deepsched.client\n"
        "assert not {'httpx', 'numpy', 'pyarrow', 'ray', 'torch'} & set(sys.modules)\n"
        "sys.modules['httpx'] = None\n"
        "try:\n"
        "    from deepsched.client import Client\n"
        "except ImportError as error:\n"
        "    print(error)\n"
        "del sys.modules['httpx']\n"
        "from deepsched.client import Client\n"
        "assert not {'ray', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == ("deepsched.client.Client needs httpx: pip install 'deepsched[client]'\n")


def test_the_examples_of_its_page_run(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/client.md").read_text()
    code = [part.partition("```")[0] for part in page.split("```python\n")[1:]]
    assert len(code) == 2
    names: dict[str, Any] = {}
    for text in code:
        exec(text.replace("http://127.0.0.1:8000", stub.url), names)
    assert names["best"].makespan == heft(names["problem"]).makespan
    assert asyncio.run(names["makespans"]([names["problem"]])) == [names["best"].makespan]
    assert "400" in capsys.readouterr().out


def arrow_answer(asked: Problem) -> bytes:
    schedule = heft(asked)
    row = {
        **schedule.summary(asked, 0.1),
        "heft_makespan": 1.0,
        "model": None,
        "model_version": None,
        "timing": TIMING,
        "proc": schedule.proc,
        "ast": schedule.ast,
        "aft": schedule.aft,
    }
    return answers_to_stream([row])


@st.composite
def strange_replies(draw: st.DrawFn) -> Reply:
    """Draw what a broken or foreign service might answer."""
    whole = bytearray(arrow_answer(problem()))
    kind = draw(st.sampled_from(["application/json", ARROW, "text/html", ""]))
    content: bytes
    if kind == ARROW and draw(st.booleans()):
        for _ in range(draw(st.integers(0, 4))):
            whole[draw(st.integers(0, len(whole) - 1))] = draw(st.integers(0, 255))
        content = bytes(whole)
    else:
        values = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "answers", "id", "state", "models", "tasks", "a"]),
                    inner,
                    max_size=3,
                )
            ),
        )
        content = draw(st.binary() | values.map(lambda value: json.dumps(value).encode()))
    status = draw(st.sampled_from([200, 200, 200, 202, 204, 301, 400, 404, 412, 500]))
    return Reply(status=status, headers={"content-type": kind}, content=content)


@settings(max_examples=300)
@given(reply=strange_replies(), what=st.sampled_from(["ask", "document", "many", "job", "models"]))
def test_whatever_is_answered_is_an_answer_or_one_line(reply: Reply, what: str) -> None:
    service = Service("http://there", 0.0)
    asked = problem()
    talk: Conversation[Any] = {
        "ask": service.ask(asked, {}, check=True),
        "document": service.ask(EXAMPLE.encode(), {}, check=True),
        "many": service.ask_many([asked], {}, check=True),
        "job": service.submit(asked, {}),
        "models": service.models(),
    }[what]
    outcome = None
    try:
        for _ in range(9):
            step = talk.send(outcome)
            assert isinstance(step, Request)
            outcome = Reply(status=200, headers={}, content=b"") if step.method == "PUT" else reply
        pytest.fail("it goes on asking")
    except StopIteration:
        return
    except DeepSchedError as error:
        raised = error
    assert isinstance(raised, ServiceError)
    assert "\n" not in str(raised)
    assert len(str(raised)) < 600
