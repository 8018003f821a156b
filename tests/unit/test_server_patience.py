"""Servers that are slow, busy or down: a working one finishes whatever the patience, a dead one is given up."""

import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from truenorth.cli.main import main
from truenorth.evals.judges.openai import OpenAIJudge
from truenorth.evals.judges.server import Limits, patience
from truenorth.evals.judges.traffic import Traffic
from truenorth.evals.models.openai import OpenAIModel
from truenorth.evals.types import Decoding
from truenorth.prompts.errors import InfrastructureError
from truenorth.prompts.types import Message, Prompt

GREEDY = Decoding("greedy", 0.0, 16)


class OneSlot(ThreadingHTTPServer):
    """Answers one request at a time, in `pause` seconds, and none whose client has gone."""

    daemon_threads = False

    def __init__(self, pause):
        outer = self
        self.pause, self.slot, self.answered, self.waiting, self.most = pause, threading.Lock(), 0, 0, 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.waiting += 1
                outer.most = max(outer.most, outer.waiting)
                with outer.slot:
                    if not gone(self.connection):
                        time.sleep(outer.pause)
                        outer.answered += 1
                    outer.waiting -= 1
                body = json.dumps({"choices": [{"message": {"content": "Sure."}, "finish_reason": "stop"}]}).encode()
                try:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


def gone(connection):
    """Whether the other side has hung up."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        connection.setblocking(True)


@pytest.fixture
def slow():
    http = OneSlot(0.05)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield http
    http.shutdown()
    thread.join()
    http.server_close()


def prompts(n):
    return [Prompt(f"p{i}", (Message("user", f"question {i}"),), "comply") for i in range(n)]


def test_a_slow_server_with_one_slot_finishes_though_most_first_requests_time_out(slow):
    slow.pause = 0.1
    model = OpenAIModel("m", slow.url, Limits(timeout=0.7, deadline=2.1, tries=3, wait=0.01, requests=16))
    rows = list(model.generate(prompts(40), GREEDY, adapter=None, seed=0))
    assert len(rows) == 40
    assert slow.most > 8
    assert model.traffic.width < 16


def test_no_more_requests_are_under_way_than_were_asked_for(slow):
    list(OpenAIModel("m", slow.url, Limits(requests=3)).generate(prompts(9), GREEDY, adapter=None, seed=0))
    assert slow.most == 3
    assert slow.answered == 9


def test_a_server_that_never_answers_is_given_up(slow):
    slow.pause = 1.5
    begun = time.monotonic()
    with pytest.raises(InfrastructureError, match=r"no answer in 0.2 s: raise --server-timeout \(or TRUENORTH_SERVER_TIMEOUT\)"):
        list(OpenAIModel("m", slow.url, Limits(0.2, 0.5, wait=0.01, requests=2)).generate(prompts(2), GREEDY, adapter=None, seed=0))
    assert time.monotonic() - begun < 2.5


def test_requests_that_were_sent_together_narrow_the_traffic_once():
    traffic = Traffic(16)
    with traffic.turn() as width:
        for _ in range(6):
            traffic.narrow(width)
    assert traffic.width == 8
    for _ in range(9):
        traffic.narrow(traffic.width)
    assert traffic.width == 1


# -- what a busy server says


class Scripted(OpenAIJudge):
    """Asks no server: gives the listed answers, exceptions raised."""

    def _post(self, body, left):
        found = self.script.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def scripted(*answers, **limits):
    waits = []
    judge = Scripted("m", "http://127.0.0.1:1/v1", Limits(**limits), waits.append)
    object.__setattr__(judge, "script", list(answers))
    return judge, waits


def busy(wait=0.0):
    from truenorth.evals.judges.server import _RetryableError

    return _RetryableError("HTTP 503", wait, busy=True)


def test_tries_of_a_busy_server_dont_count_while_it_answers_others():
    judge, waits = scripted(*[busy() for _ in range(9)], b"answer", tries=3)
    sleep = waits.append
    object.__setattr__(judge, "sleep", lambda seconds: (sleep(seconds), time.sleep(0.002), judge.traffic.answer()))
    assert judge.send(b"") == b"answer"
    assert waits == [1.0] * 9
    alone, waits = scripted(*[busy() for _ in range(9)], b"answer", tries=3)
    with pytest.raises(InfrastructureError, match="HTTP 503"):
        alone.send(b"")
    assert waits == [1.0, 2.0]


def test_a_wait_beyond_the_deadline_is_not_begun():
    judge, waits = scripted(busy(3600), b"answer", timeout=20.0, deadline=60.0)
    with pytest.raises(InfrastructureError, match="HTTP 503; it asks for 3600 s of peace"):
        judge.send(b"")
    assert waits == []


def test_a_server_may_name_seconds_or_a_date():
    from truenorth.evals.judges.server import _seconds

    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert [_seconds(text) for text in (None, "", " 7 ", "soon", "-1", "Mon, 01 Jan 2001 00:00:00 GMT")] == [0, 0, 7, 0, 0, 0]
    assert 50 < _seconds(in_a_minute) <= 60


# -- where the settings come from


def test_what_is_given_goes_before_the_environment_and_ends_with_its_block(monkeypatch):
    monkeypatch.setenv("TRUENORTH_SERVER_TIMEOUT", "30")
    with patience(requests=2, timeout=None):
        assert (Limits().requests, Limits().timeout, Limits().deadline) == (2, 30, 90)
        with patience(timeout=5.0):
            assert (Limits().requests, Limits().timeout) == (16, 5)
    assert (Limits().requests, Limits().timeout) == (16, 30)


def test_the_command_sets_both_and_a_resume_may_change_them(slow, tmp_path, monkeypatch, capsys):
    seen = []
    send = OpenAIModel.send
    monkeypatch.setattr(OpenAIModel, "send", lambda self, body: seen.append(self.limits) or send(self, body))
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps({"prompt": f"q{i}", "expected": "comply"}) + "\n" for i in range(4)))
    slow.pause = 0.0
    command = ["eval", "--model", f"openai:m@{slow.url}", "--suite", str(tmp_path / "mine.jsonl"), "--out", str(tmp_path / "run")]
    assert main([*command, "--server-requests", "2", "--server-timeout", "40"]) == 0
    assert {(limits.requests, limits.timeout, limits.deadline) for limits in seen} == {(2, 40, 120)}
    assert slow.most <= 2
    assert main([*command, "--server-timeout", "50"]) == 0
    assert "finished" in capsys.readouterr().err
    assert "server" not in json.loads((tmp_path / "run/manifest.json").read_text())["config"]
    assert main([*command, "--server-requests", "0"]) == 4
