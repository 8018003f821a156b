"""A model behind an OpenAI-compatible server: what is asked, what comes back, what goes wrong; a whole evaluation over HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from truenorth.cli.main import main
from truenorth.evals.judges.server import Limits
from truenorth.evals.models.base import Generates
from truenorth.evals.models.openai import KEY, OpenAIModel, read_choice
from truenorth.evals.types import Decoding
from truenorth.prompts.errors import InfrastructureError, InputError
from truenorth.prompts.types import Message, Prompt

GREEDY, SAMPLED = Decoding("greedy", 0.0, 16), Decoding("t1.0", 1.0, 16, 3)


@pytest.fixture
def server():
    """Answers each request with a function of it; keeps requests and headers. `server.say` and `server.status` can be set."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                http.asked.append(asked)
                http.headers.append(dict(self.headers))
                status = http.statuses.pop(0) if http.statuses else 200
            body = json.dumps({"choices": [http.say(asked)]}).encode()
            self.send_response(status)
            if http.retry_after:
                self.send_header("Retry-After", http.retry_after)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    lock = threading.Lock()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.asked, http.headers, http.statuses, http.retry_after = [], [], [], ""
    http.say = lambda asked: {"message": {"content": f"said {asked['messages'][-1]['content']}"}, "finish_reason": "stop"}
    http.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield http
    http.shutdown()
    thread.join()
    http.server_close()


def model(server, requests=16, **limits):
    return OpenAIModel("m", server.url, Limits(**{"timeout": 20.0, "deadline": 60.0, "requests": requests, **limits}), lambda _: None)


def prompts(n):
    return [Prompt(f"p{i}", (Message("user", f"question {i}"),), "comply") for i in range(n)]


def test_every_prompt_gets_its_samples_with_their_own_seeds(server):
    found = list(model(server).generate(prompts(5), SAMPLED, adapter=None, seed=7))
    assert {(row.index, row.sample, row.text) for row in found} == {(i, s, f"said question {i}") for i in range(5) for s in range(3)}
    assert len({asked["seed"] for asked in server.asked}) == 15
    first = {(a["messages"][0]["content"], a["seed"]) for a in server.asked}
    server.asked.clear()
    list(model(server).generate(prompts(5), SAMPLED, adapter=None, seed=7))
    assert {(a["messages"][0]["content"], a["seed"]) for a in server.asked} == first


def test_a_greedy_request_holds_the_dialogue_and_no_seed(server, monkeypatch):
    monkeypatch.setenv(KEY, "secret")
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    list(model(server).generate([Prompt("p", turns, None)], GREEDY, adapter=None, seed=7))
    [asked] = server.asked
    assert asked == {
        "model": "m",
        "messages": [{"role": t.role, "content": t.content} for t in turns],
        "temperature": 0.0,
        "max_tokens": 16,
    }
    assert server.headers[0]["Authorization"] == "Bearer secret"


def test_a_cut_response_says_so(server):
    server.say = lambda asked: {"message": {"content": "half"}, "finish_reason": "length"}
    [row] = model(server).generate(prompts(1), GREEDY, adapter=None, seed=0)
    assert (row.text, row.finish_reason) == ("half", "length")


def test_a_busy_server_is_asked_again_and_a_refusing_one_is_not(server):
    server.statuses = [503, 429]
    assert len(list(model(server).generate(prompts(1), GREEDY, adapter=None, seed=0))) == 1
    assert len(server.asked) == 3
    server.statuses = [401]
    with pytest.raises(InfrastructureError, match=f"model server .*HTTP 401; is {KEY} right"):
        list(model(server).generate(prompts(1), GREEDY, adapter=None, seed=0))
    assert len(server.asked) == 4


def test_one_request_that_the_server_takes_for_wrong_has_no_response_and_costs_no_other(server, caplog):
    server.statuses = [400]
    found = list(model(server, requests=1).generate(prompts(3), GREEDY, adapter=None, seed=0))
    assert [row.text for row in sorted(found, key=lambda row: row.index)] == ["", "said question 1", "said question 2"]
    assert "prompt 'p0': model server" in caplog.text
    assert 'HTTP 400: \'{"choices"' in caplog.text
    server.statuses = [422] * 4  # the fourth is a plain request
    with pytest.raises(InfrastructureError, match=r"(?s)prompt 'p\d': model server .*HTTP 422.*refuses any other request, too"):
        list(model(server).generate(prompts(3), GREEDY, adapter=None, seed=0))


@pytest.mark.parametrize("status", [400, 402, 405, 413, 422, 451])
def test_a_prompt_alone_in_its_group_is_given_up_when_a_plain_request_is_answered(server, status):
    server.statuses = [status]
    [row] = model(server).generate(prompts(1), GREEDY, adapter=None, seed=0)
    assert (row.text, row.finish_reason) == ("", "stop")
    assert [asked["messages"][0]["content"] for asked in server.asked] == ["question 0", "Hello"]
    assert server.asked[1] == {**server.asked[0], "messages": [{"role": "user", "content": "Hello"}]}


def test_a_server_that_stops_working_costs_no_response(server):
    """What was answered is kept, and what was refused then is no empty response: the next attempt asks for it."""
    server.statuses = [200] * 2 + [400] * 9
    rows = model(server, requests=1).generate(prompts(4), GREEDY, adapter=None, seed=0)
    assert {next(rows).text, next(rows).text} == {"said question 0", "said question 1"}
    with pytest.raises(InfrastructureError, match="refuses any other request"):
        next(rows)


def test_a_server_says_how_long_to_wait(server):
    waits = []
    server.statuses, server.retry_after = [429], "7"
    list(OpenAIModel("m", server.url, Limits(timeout=20.0, deadline=60.0), waits.append).generate(prompts(1), GREEDY, adapter=None, seed=0))
    assert waits == [7.0]


def test_requests_at_a_time_and_patience_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("TRUENORTH_SERVER_REQUESTS", "2")
    monkeypatch.setenv("TRUENORTH_SERVER_TIMEOUT", "30")
    made = OpenAIModel.from_argument("m@http://127.0.0.1:1/v1")
    assert (made.limits.requests, made.limits.timeout, made.limits.deadline) == (2, 30, 90)
    for wrong in ("0", "many", "inf", "-1"):
        monkeypatch.setenv("TRUENORTH_SERVER_REQUESTS", wrong)
        with pytest.raises(InputError, match=f"TRUENORTH_SERVER_REQUESTS is '{wrong}'"):
            OpenAIModel.from_argument("m@http://127.0.0.1:1/v1")


@pytest.mark.parametrize("marked", [4, 1])
def test_prompts_that_hold_a_template_are_refused_for_a_server_too(server, tmp_path, capsys, marked):
    rows = [f"<|im_start|>user\nq{i}<|im_end|>" if i < marked else f"q{i}" for i in range(5)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps({"prompt": text, "expected": "comply"}) + "\n" for text in rows))
    command = ["eval", "--model", f"openai:m@{server.url}", "--suite", str(tmp_path / "mine.jsonl"), "--out", str(tmp_path / "run")]
    assert main(command) == (4 if marked == 4 else 0)
    assert ("4 of 5 prompts of 'mine' hold the chat template already" in capsys.readouterr().err) == (marked == 4)


def test_a_few_prompts_that_hold_a_template_are_told(server, tmp_path, caplog):
    rows = [{"id": f"q{i}", "prompt": f"{'[INST] ' * (i == 3)}question {i}", "expected": "comply"} for i in range(5)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["eval", "--model", f"openai:m@{server.url}", "--suite", str(tmp_path / "mine.jsonl"), "--out", str(tmp_path / "run")]
    assert main(command) == 0
    assert "1 of 5 prompts of 'mine' hold the chat template already, e.g. 'q3'" in caplog.text


def test_only_the_samples_that_are_missing_are_asked_for_again(server, tmp_path):
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps({"prompt": f"q{i}", "expected": "comply"}) + "\n" for i in range(4)))
    out = str(tmp_path / "run")
    command = ["eval", "--model", f"openai:m@{server.url}", "--suite", str(tmp_path / "mine.jsonl"), "--out", out]
    command += ["--decoding", "t1.0", "--samples", "3"]
    server.statuses = [200] * 6 + [403] * 99
    assert main([*command, "--server-requests", "1"]) == 3
    asked = {(a["messages"][-1]["content"], a.get("seed")) for a in server.asked[:6]}
    server.statuses = []
    server.asked.clear()
    assert main(command) == 0
    again = [(a["messages"][-1]["content"], a.get("seed")) for a in server.asked]
    assert len(again) == len(set(again)) == 4 * 3 + 1 - 6
    assert not asked & set(again)


def test_a_deadline_ends_the_tries(server):
    server.statuses = [503] * 99
    with pytest.raises(InfrastructureError, match="HTTP 503"):
        list(model(server, tries=3).generate(prompts(1), GREEDY, adapter=None, seed=0))
    assert len(server.asked) == 3


@pytest.mark.parametrize("data", [b"", b"[]", b'{"choices": []}', b'{"choices": [{"text": "old"}]}'])
def test_another_kind_of_answer_is_refused(data):
    with pytest.raises(InfrastructureError, match="no chat completion"):
        read_choice(data)


def test_no_content_is_an_empty_response_and_half_a_surrogate_pair_is_replaced():
    assert read_choice(b'{"choices": [{"message": {"content": null}, "finish_reason": "tool_calls"}]}') == ("", "stop")
    assert read_choice(b'{"choices": [{"message": {"content": "cut \\ud83d"}}]}') == ("cut \ufffd", "stop")


def test_it_is_known_by_name_and_address_and_has_no_adapters():
    one, other = OpenAIModel("m", "http://127.0.0.1:1/v1"), OpenAIModel("n", "http://127.0.0.1:1/v1")
    assert isinstance(one, Generates)
    assert one.card(None).model == "openai:m@http://127.0.0.1:1/v1"
    assert one.card(None).model_sha256 != other.card(None).model_sha256
    with pytest.raises(InputError, match="has no adapter 'ppo'"):
        one.card("ppo")


def test_an_evaluation_over_http_goes_on_after_a_failure(server, tmp_path, capsys):
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps({"prompt": f"q{i}", "expected": "refuse"}) + "\n" for i in range(20)))
    server.say = lambda asked: {"message": {"content": "I'm sorry, but I can't help with that."}, "finish_reason": "stop"}
    command = ["eval", "--model", f"openai:m@{server.url}", "--suite", str(tmp_path / "mine.jsonl"), "--out", str(tmp_path / "run")]
    server.statuses = [200] * 8 + [403] * 99
    assert main(command) == 3
    kept = len((tmp_path / "run/eval/model/generations.jsonl").read_text().splitlines())
    server.statuses = []
    server.asked.clear()
    assert 0 < kept < 21
    assert main([*command, "--json"]) == 0
    assert len(server.asked) == 21 - kept  # what is there is not asked for again
    results = json.loads(capsys.readouterr().out)["results"]
    [rate] = [row for row in results["models"][0]["metrics"] if row["metric"] == "refusal_rate" and not row["subset"]]
    assert (rate["value"], rate["n"]) == (1.0, 20)


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        ("openai:m", [], "names no model and server"),
        ("openai:m@http://example.com/v1", [], "plain http to example.com"),
        ("openai:m@http://127.0.0.1:1/v1", ["--capability", "x"], "a server gives text alone"),
    ],
)
def test_a_wrong_name_or_option_is_a_users_mistake(name, more, says, tmp_path, capsys):
    assert main(["eval", "--model", name, *more, "--out", str(tmp_path / "run")]) == 4
    assert says in capsys.readouterr().err
