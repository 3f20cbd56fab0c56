"""The openai package of Python streams from the AI proxy as if it were its own service."""

import openai
from supabase import create_client

from check import DEMO, KEY, URL, check, done, failure

ADA = DEMO["people"][0]
SESSION = create_client(URL, KEY).auth.sign_in_with_password({"email": ADA["email"], "password": ADA["password"]})
BASE = f"{URL}/functions/v1/ai-proxy/v1"
MODEL = "dev-model"


def client(**options):
    defaults = {"api_key": SESSION.session.access_token, "max_retries": 0, "timeout": 20}
    return openai.OpenAI(base_url=BASE, **{**defaults, **options})


def ask(text, **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


@check("a stream comes in pieces and ends with a reason")
def _():
    chunks = list(client().chat.completions.create(**ask("Count to 30", stream=True)))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(chunks) > 30 and "28, 29, 30" in text, text
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]


@check("the tokens are counted when they are asked for")
def _():
    counted = ask("Count to 3", stream=True, stream_options={"include_usage": True})
    usage = list(client().chat.completions.create(**counted))[-1].usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0, usage


@check("an answer comes whole")
def _():
    answer = client().chat.completions.create(**ask("what is 2 * 3?"))
    assert "2 * 3 = 6" in answer.choices[0].message.content, answer


@check("the models are listed")
def _():
    assert MODEL in [model.id for model in client().models.list()]


@check("a wrong token is an authentication error")
def _():
    for stream in [False, True]:
        wrong = client(api_key="wrong")
        error = failure(openai.AuthenticationError, lambda: wrong.chat.completions.create(**ask("hi", stream=stream)))
        assert error.status_code == 401


@check("a question that makes no sense is a bad request")
def _():
    error = failure(openai.BadRequestError, lambda: client().chat.completions.create(model=MODEL, messages=[]))
    assert "messages must not be empty" in str(error), error


@check("a busy cloud is asked again, and a stream that breaks off is an error")
def _():
    busy = client(default_headers={"x-cloud-dev-fault": "status=503; retry-after=0"})
    assert failure(openai.InternalServerError, lambda: busy.chat.completions.create(**ask("hi"))).status_code == 503
    cut = client(default_headers={"x-cloud-dev-fault": "cut=900"})
    failure(Exception, lambda: list(cut.chat.completions.create(**ask("Count to 100", stream=True))))


done()
