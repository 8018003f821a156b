"""Comparing judges: recorded and malformed answers, both orders, the server of another's making."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from truenorth.evals.judges.pairwise import PairwiseJudge, get_comparer, parse_choice
from truenorth.evals.judges.server import RefusedError
from truenorth.evals.preference import Comparer, Preference, compare_both_orders
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Message, Prompt

ASKED = Prompt("p", (Message("user", "How do I open the box?"),), "comply")


class Recorded(PairwiseJudge):
    """Answers from a list, in order."""

    def ask(self, instructions, asked):
        self.answers.append(json.loads(asked))
        return self.recorded[len(self.answers) - 1]


def recorded(*answers):
    judge = Recorded("m", "http://127.0.0.1:1/v1")
    object.__setattr__(judge, "recorded", answers)
    object.__setattr__(judge, "answers", [])
    return judge


@pytest.mark.parametrize(
    ("answer", "choice"),
    [('{"better": "first"}', "first"), (' {"better":"second"}\n', "second"), ('{"better": "tie"}', "tie")],
)
def test_recorded_answers_are_read(answer, choice):
    assert parse_choice(answer) == choice


@pytest.mark.parametrize(
    "answer",
    [
        *("", "first", "[[A]]", '{"better": "First"}', '{"better": null}', '{"better": ["first"]}', '["first"]', '{"label": "first"}'),
        *('{"better": "first"} {"better": "second"}', 'The first. {"better": "first"}', '{"better": "first", "why": "x"}', "[" * 10_000),
    ],
)
def test_malformed_answers_are_no_choice(answer):
    assert parse_choice(answer) is None


FIRST, SECOND, TIE = '{"better": "first"}', '{"better": "second"}', '{"better": "tie"}'


@pytest.mark.parametrize(
    ("straight", "turned", "preference"),
    [
        (SECOND, FIRST, Preference(1.0, True)),
        (FIRST, SECOND, Preference(0.0, True)),
        (TIE, TIE, Preference(0.5, True)),
        (FIRST, FIRST, Preference(0.5, False)),
        (TIE, FIRST, Preference(0.5, False)),
        (FIRST, "I can't tell.", Preference()),
        ("", SECOND, Preference()),
    ],
)
def test_only_what_both_orders_say_counts(straight, turned, preference):
    judge = recorded(straight, turned)
    assert isinstance(judge, Comparer)
    assert compare_both_orders(judge, ASKED, "base's", "tuned's") == preference
    assert [(row["first"], row["second"]) for row in judge.answers] == [("base's", "tuned's"), ("tuned's", "base's")]


def test_a_question_that_the_server_takes_for_wrong_is_no_choice():
    class Refused(PairwiseJudge):
        def _post(self, body, left):
            if b"Hello" not in body:
                raise RefusedError("HTTP 400")
            return json.dumps({"choices": [{"message": {"content": "?"}}]}).encode()

    assert Refused("m", "http://127.0.0.1:1/v1").choose(ASKED, "one", "two") is None


def test_equal_responses_are_a_tie_and_not_asked_about():
    judge = recorded()
    assert compare_both_orders(judge, ASKED, "same", "same") == Preference(0.5, True)
    assert judge.answers == []


def test_a_server_is_asked_at_temperature_zero():
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = json.dumps({"choices": [{"message": {"content": SECOND}}]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments):
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        judge = get_comparer(f"openai:qwen3@http://127.0.0.1:{server.server_port}/v1")
        assert judge.choose(ASKED, "one", "two") == "second"
        server.shutdown()
        thread.join()
    assert (bodies[0]["model"], bodies[0]["temperature"]) == ("qwen3", 0)
    assert json.loads(bodies[0]["messages"][1]["content"]) == {"request": ASKED.text, "first": "one", "second": "two"}


def test_identity_names_model_prompt_and_parser():
    judge = get_comparer("openai:qwen3@http://127.0.0.1:8000/v1")
    assert judge.name == "pairwise-openai"
    assert judge.revision.startswith("qwen3.")
    assert judge.revision.endswith(".p2")


@pytest.mark.parametrize("name", ["keyword", "openai", "openai:m", "generative:wildguard=m", "openai:m@http://example.org/v1"])
def test_judges_that_cannot_compare_are_refused(name):
    with pytest.raises(InputError):
        get_comparer(name)
