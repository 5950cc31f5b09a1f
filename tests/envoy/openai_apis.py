"""Every API of OpenAI through Pointsman, by the official `openai` client: plain and streaming, tools, images, errors.

Arguments: the base URL, and the id that its requests carry. Prints the tokens that the answers took, as JSON.
"""

import json
import sys

import openai
import pydantic

url, test = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key="sk-test", max_retries=0, timeout=30, default_headers={"x-test-id": test})
question = [{"role": "user", "content": "Which planet is the largest?"}]
image = {"url": "data:image/png;base64,iVBORw0KGgo="}
schema = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"], "additionalProperties": False}
took = {"input": 0, "output": 0}


def took_chat(usage):
    took["input"] += usage.prompt_tokens
    took["output"] += getattr(usage, "completion_tokens", None) or 0


def took_response(usage):
    took["input"] += usage.input_tokens
    took["output"] += usage.output_tokens


def refused(kind, call, **wanted):
    """What `call` raises is of `kind` and says what is wanted, as the client reads it."""
    try:
        call()
    except kind as error:
        for name, value in wanted.items():
            assert getattr(error, name) == value, (name, getattr(error, name), error.body)
        assert type(error) is kind, type(error)
        assert error.response.headers["content-type"] == "application/json", error.response.headers
        return error
    raise AssertionError(f"expected {kind.__name__}")


# --- Chat Completions -----------------------------------------------------------------------------------------------
raw = client.chat.completions.with_raw_response.create(model="auto", messages=question, max_tokens=30)
answer = raw.parse()
assert raw.headers["x-pointsman-model"] in ("chatty", "seer"), raw.headers
assert answer.choices[0].message.content and answer.choices[0].finish_reason in ("stop", "length")
took_chat(answer.usage)
asked = answer.usage.prompt_tokens

# The policy asks for the usage of streams; a client that did not is not shown it.
words, chunks = "", list(client.chat.completions.create(model="auto", messages=question, max_tokens=30, stream=True))
for chunk in chunks:
    assert chunk.choices and not chunk.usage, chunk
    words += chunk.choices[0].delta.content or ""
assert words.startswith("This is a synthetic answer"), words
took["input"] += asked
took["output"] += len(words.split(" "))

# One that did is.
last = list(
    client.chat.completions.create(
        model="auto", messages=question, max_tokens=30, stream=True, stream_options={"include_usage": True}
    )
)[-1]
assert last.choices == [] and last.usage.completion_tokens, last
took_chat(last.usage)

# The client's own accumulating stream, with a tool that has to be called.
tools = [{"type": "function", "function": {"name": "look", "parameters": schema, "strict": True}}]
with client.chat.completions.stream(
    model="auto", messages=question, tools=tools, tool_choice="required", stream_options={"include_usage": True}
) as stream:
    answer = stream.get_final_completion()
[call] = answer.choices[0].message.tool_calls
assert (call.function.name, answer.choices[0].finish_reason) == ("look", "tool_calls"), answer
assert json.loads(call.function.arguments) == {"place": "synthetic place"}, call
took_chat(answer.usage)

# The result of the tool goes back, and an image: only one model sees those.
seen = client.chat.completions.create(
    model="auto",
    messages=question
    + [
        {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]},
        {"role": "tool", "tool_call_id": call.id, "content": "Jupiter"},
        {"role": "user", "content": [{"type": "text", "text": "And this?"}, {"type": "image_url", "image_url": image}]},
    ],
    tools=tools,
    n=2,
)
assert seen.model == "vendor/seer" and len(seen.choices) == 2, seen
took_chat(seen.usage)

# --- Responses ------------------------------------------------------------------------------------------------------
answer = client.responses.create(model="auto", input="Which planet is the largest?", max_output_tokens=40)
assert answer.output_text and answer.usage.output_tokens == len(answer.output_text.split(" ")), answer
assert answer.model in ("org/chatty", "vendor/seer"), answer
took_response(answer.usage)

with client.responses.stream(model="chatty", instructions="Be brief.", input=question) as stream:
    kinds = [event.type for event in stream]
    answer = stream.get_final_response()
assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
assert "response.output_text.delta" in kinds and answer.output_text.startswith("This is"), answer
took_response(answer.usage)

called = client.responses.create(
    model="auto",
    input=[{"role": "user", "content": [{"type": "input_image", "image_url": image["url"], "detail": "auto"}]}],
    tools=[{"type": "function", "name": "look", "parameters": schema, "strict": False}],
    tool_choice={"type": "function", "name": "look"},
)
assert called.output[0].type == "function_call" and called.model == "vendor/seer", called
took_response(called.usage)

# A structured output, parsed into a type of the application.
class Place(pydantic.BaseModel):
    name: str
    moons: list[int]


parsed = client.responses.parse(model="chatty", input=question, text_format=Place)
assert isinstance(parsed.output_parsed, Place), parsed
took_response(parsed.usage)

# --- Completions ----------------------------------------------------------------------------------------------------
answer = client.completions.create(model="auto", prompt=["Once upon a time", "It was a dark night"], max_tokens=8)
assert len(answer.choices) == 2 and answer.choices[1].text, answer
took_chat(answer.usage)

chunks = list(
    client.completions.create(
        model="chatty", prompt="Once", max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
)
assert "".join(chunk.choices[0].text for chunk in chunks[:-1]), chunks
took_chat(chunks[-1].usage)

# --- Embeddings -----------------------------------------------------------------------------------------------------
# The client asks for base64 by itself.
answer = client.embeddings.create(model="auto", input=["one", "two"], dimensions=16)
assert [len(one.embedding) for one in answer.data] == [16, 16] and answer.model == "embedder-q8", answer
took_chat(answer.usage)
same = client.embeddings.create(model="embedder", input="one", dimensions=16, encoding_format="float")
assert all(abs(a - b) < 1e-6 for a, b in zip(same.data[0].embedding, answer.data[0].embedding)), same
took_chat(same.usage)

# --- Models ---------------------------------------------------------------------------------------------------------
assert {"auto", "chatty", "opus"} <= {model.id for model in client.models.list()}
assert client.models.retrieve("opus").id == "opus"

# --- Errors ---------------------------------------------------------------------------------------------------------
chat, responses = client.chat.completions.create, client.responses.create
refused(openai.NotFoundError, lambda: chat(model="nobody", messages=question), code="model_not_found", param="model")
refused(openai.NotFoundError, lambda: client.models.retrieve("nobody"), code="model_not_found")
refused(
    openai.BadRequestError,
    lambda: chat(model="chatty", messages=[{"role": "user", "content": "many words " * 1500}]),
    code="context_length_exceeded",
    param="messages",
    type="invalid_request_error",
)
# The model is there, but behind another API: nothing is translated, and nothing is sent.
refused(openai.BadRequestError, lambda: chat(model="opus", messages=question), code="unsupported_api")
refused(openai.BadRequestError, lambda: responses(model="embedder", input="x"), code="unsupported_api")
refused(openai.BadRequestError, lambda: client.embeddings.create(model="chatty", input="x"), code="unsupported_api")
# An odd form is no reason to refuse: the backend judges it. What it took is counted like the rest.
took_chat(chat(model="auto", messages="hi").usage)
barred = {"x-tenant": "barred"}
refused(openai.PermissionDeniedError, lambda: chat(model="auto", messages=question, extra_headers=barred))
# The budget is spent by the first request, and the worker that served it knows at once; which one serves is chance.
poor = {"x-tenant": "poor", "x-test-id": f"{test}-poor"}
for _ in range(200):
    try:
        took_chat(chat(model="auto", messages=question, max_tokens=8, extra_headers=poor).usage)
    except openai.RateLimitError as error:
        assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota"), error.body
        break
else:
    raise AssertionError("the budget was never spent")
# What a backend says of itself passes as it is, with when to come back.
limited = refused(
    openai.RateLimitError,
    lambda: chat(model="auto", messages=question, extra_headers={"x-test-id": f"{test}-429"}),
    code="rate_limit_exceeded",
)
assert limited.response.headers["retry-after"] == "7", limited.response.headers
refused(
    openai.InternalServerError,
    lambda: responses(model="auto", input="x", extra_headers={"x-test-id": f"{test}-reset"}),
    type="server_error",
)

# More than Envoy holds of a body: its own answer.
refused(
    openai.APIStatusError,
    lambda: chat(model="auto", messages=[{"role": "user", "content": "x" * 200_000}]),
    status_code=413,
    type="invalid_request_error",
)

print(json.dumps(took))
