"""Talks to Pointsman as an application does: the official `openai` client, plain and streaming. Argument: the base URL."""

import sys
import typing

import openai
import pydantic

client = openai.OpenAI(base_url=sys.argv[1], api_key="sk-test", max_retries=0, timeout=30)
question = [{"role": "user", "content": "Which planet is the largest?"}]

# Plain, with the decision in the headers.
raw = client.chat.completions.with_raw_response.create(model="auto", messages=question, max_tokens=30)
answer = raw.parse()
assert answer.choices[0].message.content, answer
assert answer.usage.completion_tokens > 0, answer
backend = raw.headers["x-pointsman-backend"]
assert f"demo backend {backend} " in answer.choices[0].message.content, (backend, answer)
assert raw.headers["x-pointsman-model"]

# A pinned model.
answer = client.chat.completions.create(model="llama-3.1-8b", messages=question)
assert answer.model == "llama-3.1-8b-instant", answer

# Streaming, with usage at the end.
text, usage, finish = "", None, None
for chunk in client.chat.completions.create(
    model="auto:cheap", messages=question, max_tokens=40, stream=True, stream_options={"include_usage": True}
):
    if chunk.choices:
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    usage = chunk.usage or usage
assert text.startswith("This is a synthetic answer"), text
assert finish in ("stop", "length"), finish
assert usage and usage.completion_tokens == len(text.split(" ")), (usage, text)

# Tools, images and a schema, as objects of the client.
answer = client.chat.completions.create(
    model="auto",
    messages=[
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is on this picture?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ]},
    ],
    tools=[{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}],
    response_format={"type": "json_object"},
)
assert "demo backend serverless " in answer.choices[0].message.content, "only gpt-4o sees pictures"

# A structured output, parsed into a type of the application.
class Step(pydantic.BaseModel):
    explanation: str
    output: float


class Solution(pydantic.BaseModel):
    steps: list[Step]
    kind: typing.Literal["exact", "rough"]
    note: str | None = None


answer = client.chat.completions.parse(model="auto", messages=question, response_format=Solution)
assert isinstance(answer.choices[0].message.parsed, Solution), answer
with client.chat.completions.stream(model="auto", messages=question, response_format=Solution) as stream:
    parsed = stream.get_final_completion().choices[0].message.parsed
assert isinstance(parsed, Solution) and parsed.kind == "exact", parsed

# The models, as the filter lists them.
assert {"auto", "gpt-4o"} <= {model.id for model in client.models.list()}

# An error that the client understands.
try:
    client.chat.completions.create(model="no-such-model", messages=question)
except openai.NotFoundError as error:
    assert error.code == "model_not_found", error
else:
    raise AssertionError("an unknown model was served")
