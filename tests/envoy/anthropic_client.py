"""Anthropic's Messages through Pointsman, by the official `anthropic` client: plain and streaming, tools, images, errors.

Arguments: the base URL without `/v1`, and the id that its requests carry. Prints the tokens that the answers took, as JSON.
"""

import json
import sys

import anthropic
import pydantic

url, test = sys.argv[1:]
client = anthropic.Anthropic(
    base_url=url, api_key="sk-ant-test", max_retries=0, timeout=30, default_headers={"x-test-id": test}
)
question = [{"role": "user", "content": "Which planet is the largest?"}]
picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
tools = [{"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}]
took = {"input": 0, "output": 0}


def took_message(usage):
    took["input"] += usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    took["output"] += usage.output_tokens


def refused(kind, call, error_type):
    """What `call` raises is of `kind`, and its body is an error as Anthropic writes it."""
    try:
        call()
    except kind as error:
        assert type(error) is kind, type(error)
        assert error.body["type"] == "error" and error.body["error"]["type"] == error_type, error.body
        assert error.body["error"]["message"], error.body
        return error
    raise AssertionError(f"expected {kind.__name__}")


# --- Plain ----------------------------------------------------------------------------------------------------------
raw = client.messages.with_raw_response.create(model="auto", max_tokens=30, messages=question, system="Be brief.")
message = raw.parse()
assert raw.headers["x-pointsman-model"] in ("haiku", "opus"), raw.headers
assert message.content[0].text.startswith("This is a synthetic answer"), message
assert message.stop_reason in ("end_turn", "max_tokens"), message
took_message(message.usage)

message = client.messages.create(model="opus", max_tokens=64, messages=question)
assert message.model == "claude-opus", message
took_message(message.usage)

# --- Streaming ------------------------------------------------------------------------------------------------------
with client.messages.stream(model="auto", max_tokens=40, messages=question) as stream:
    text = "".join(stream.text_stream)
    message = stream.get_final_message()
assert text == message.content[0].text and text.startswith("This is"), (text, message)
assert message.usage.output_tokens == len(text.split(" ")), message
took_message(message.usage)

events = {event.type: event for event in client.messages.create(model="haiku", max_tokens=12, messages=question, stream=True)}
assert list(events)[0] == "message_start" and list(events)[-1] == "message_stop", events
took["input"] += events["message_start"].message.usage.input_tokens
took["output"] += events["message_delta"].usage.output_tokens

# --- Tools and images -----------------------------------------------------------------------------------------------
with client.messages.stream(
    model="auto", max_tokens=64, messages=question, tools=tools, tool_choice={"type": "tool", "name": "look"}
) as stream:
    message = stream.get_final_message()
[call] = message.content
assert (call.type, call.name, message.stop_reason) == ("tool_use", "look", "tool_use"), message
assert call.input["synthetic"] is True, call
took_message(message.usage)

message = client.messages.create(
    model="auto",
    max_tokens=64,
    tools=tools,
    messages=question
    + [
        {"role": "assistant", "content": [call.model_dump(include={"type", "id", "name", "input"})]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call.id, "content": "Jupiter"},
            {"type": "text", "text": "And this?"},
            picture,
        ]},
    ],
)
assert message.content[0].text, message
took_message(message.usage)

# A structured output, parsed into a type of the application.
class Place(pydantic.BaseModel):
    name: str
    moons: list[int]


parsed = client.messages.parse(model="auto", max_tokens=64, messages=question, output_format=Place)
assert isinstance(parsed.parsed_output, Place), parsed
took_message(parsed.usage)

# --- Counting tokens --------------------------------------------------------------------------------------------------
# By a backend that could answer, under the model's name there. Nothing of it is counted as used.
counts = {}
for asked in ("auto", "auto:cheap", "haiku", "opus"):
    raw = client.messages.with_raw_response.count_tokens(
        model=asked, messages=question, tools=tools, system="Be brief.", extra_headers={"x-test-id": f"{test}-count"}
    )
    counts[asked] = raw.parse().input_tokens
    assert counts[asked] > 0, (asked, counts)
    told = raw.headers["x-pointsman-model"]
    assert told == asked or (asked.startswith("auto") and told in ("haiku", "opus")), (asked, told)
    assert "x-pointsman-estimated-cost-usd" not in raw.headers, raw.headers
# The name that a backend knows a model by is the model's as well.
raw = client.messages.with_raw_response.count_tokens(
    model="claude-opus", messages=question, extra_headers={"x-test-id": f"{test}-count"}
)
assert raw.parse().input_tokens > 0 and raw.headers["x-pointsman-model"] == "opus", raw.headers

# --- Models ---------------------------------------------------------------------------------------------------------
listed = {model.id: model for model in client.models.list()}
assert {"auto", "opus"} <= set(listed), listed
assert (listed["opus"].type, listed["opus"].display_name) == ("model", "opus"), listed["opus"]
assert client.models.retrieve("opus").created_at.year == 1970

# --- Errors ---------------------------------------------------------------------------------------------------------
create = client.messages.create
ask = dict(max_tokens=16, messages=question)
refused(anthropic.NotFoundError, lambda: create(model="nobody", **ask), "not_found_error")
# The model is there, but behind another API: nothing is translated, and nothing is sent.
refused(anthropic.BadRequestError, lambda: create(model="chatty", **ask), "invalid_request_error")
# An odd form is no reason to refuse: the backend judges it. What it took is counted like the rest.
took_message(create(model="auto", max_tokens=16, messages=[{"role": "user", "content": 5}]).usage)
refused(
    anthropic.PermissionDeniedError,
    lambda: create(model="auto", extra_headers={"x-tenant": "barred"}, **ask),
    "permission_error",
)
poor = {"x-tenant": "poor", "x-test-id": f"{test}-poor"}
for _ in range(200):
    try:
        took_message(create(model="auto", extra_headers=poor, **ask).usage)
    except anthropic.RateLimitError as error:
        assert error.body["error"]["type"] == "rate_limit_error", error.body
        break
else:
    raise AssertionError("the budget was never spent")
limited = refused(
    anthropic.RateLimitError,
    lambda: create(model="opus", extra_headers={"x-test-id": f"{test}-429"}, **ask),
    "rate_limit_error",
)
assert limited.response.headers["retry-after"] == "7", limited.response.headers
# The backend hangs up, and the body is more than Envoy holds: Envoy's own answers, in Anthropic's words.
refused(
    anthropic.ServiceUnavailableError,
    lambda: create(model="opus", extra_headers={"x-test-id": f"{test}-reset"}, **ask),
    "api_error",
)
refused(
    anthropic.ContentTooLargeError,
    lambda: create(model="auto", max_tokens=16, messages=[{"role": "user", "content": "x" * 200_000}]),
    "request_too_large",
)

print(json.dumps(took | {"token_counts": len(counts) + 1}))
