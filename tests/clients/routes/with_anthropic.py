#!/usr/bin/env python3
"""Calls every route of Anthropic with the `anthropic` package, reads what its users read, and provokes its errors."""

import warnings

import anthropic
from held import refused, same

TEXT = "All is well ✓"
ASKED = {"model": "claude-sonnet-5-5", "messages": [{"role": "user", "content": "How is all?"}]}
# It warns of a model that ends soon, and nobody is to copy one from here.
warnings.simplefilter("error", DeprecationWarning)
# The package reads `ANTHROPIC_BASE_URL` and its keys itself.
client = anthropic.Anthropic(max_retries=0)


def messages():
    answer = client.messages.create(**ASKED, max_tokens=64)
    assert answer.id.startswith("msg_"), answer
    same((answer.type, answer.role, answer.model), ("message", "assistant", "claude-sonnet-5-5"))
    same((answer.content[0].type, answer.content[0].text, answer.stop_reason), ("text", TEXT, "end_turn"))
    counted = client.messages.count_tokens(**ASKED)
    same((answer.usage.input_tokens, answer.usage.output_tokens), (counted.input_tokens, 4))
    assert answer._request_id.startswith("req_"), answer

    events = list(client.messages.create(**ASKED, max_tokens=64, stream=True))
    same(events[0].type, "message_start")
    same((events[-1].type, events[-2].delta.stop_reason), ("message_stop", "end_turn"))
    same("".join(one.delta.text for one in events if one.type == "content_block_delta"), TEXT)
    with client.messages.stream(**ASKED, max_tokens=64) as stream:
        same("".join(stream.text_stream), TEXT)
        whole = stream.get_final_message()
    same((whole.content[0].text, whole.stop_reason), (TEXT, "end_turn"))
    same((whole.usage.input_tokens, whole.usage.output_tokens), (counted.input_tokens, 4))


def models():
    page = client.models.list(limit=1)
    names = [one.id for one in page]
    same((names, page.has_more, page.first_id), (["claude-sonnet-5-5"], False, "claude-sonnet-5-5"))
    model = client.models.retrieve(names[0])
    same((model.id, model.type, model.display_name), (names[0], "model", page.data[0].display_name))
    same(model.created_at.year, 2026)


def told(error):
    """The type in the body, in which the vendor tells its errors apart."""
    assert error.request_id.startswith("req_") and error.body["request_id"].startswith("req_"), error.body
    same(error.body["type"], "error")
    return error.status_code, error.body["error"]["type"]


def errors():
    create = client.messages.create
    error = refused(anthropic.BadRequestError, create, **ASKED, max_tokens=0)
    same(told(error), (400, "invalid_request_error"))
    assert "max_tokens" in error.body["error"]["message"], error.body
    for wrong in ["no list", []]:
        error = refused(anthropic.BadRequestError, create, model="claude-sonnet-5-5", messages=wrong, max_tokens=4)
        assert "messages" in error.body["error"]["message"], error.body
    same(told(refused(anthropic.NotFoundError, client.messages.batches.list)), (404, "not_found_error"))
    for weather, kind, status, name in [
        ("auth", anthropic.AuthenticationError, 401, "authentication_error"),
        ("billing", anthropic.PaymentRequiredError, 402, "billing_error"),
        ("forbidden", anthropic.PermissionDeniedError, 403, "permission_error"),
        ("missing", anthropic.NotFoundError, 404, "not_found_error"),
        ("conflict", anthropic.ConflictError, 409, "conflict_error"),
        ("large", anthropic.ContentTooLargeError, 413, "request_too_large"),
        ("limit", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("spent", anthropic.EnforcedSpendLimitReachedError, 429, "rate_limit_error"),
        ("broken", anthropic.InternalServerError, 500, "api_error"),
        ("late", anthropic.GatewayTimeoutError, 504, "timeout_error"),
        ("overloaded", anthropic.OverloadedError, 529, "overloaded_error"),
    ]:
        error = refused(kind, create, **ASKED, max_tokens=64, extra_headers={"x-weather": weather})
        same(told(error), (status, name))
    refused(anthropic.APIConnectionError, create, **ASKED, max_tokens=64, extra_headers={"x-weather": "gone"})
    # A stream that was begun tells of its trouble as an event.
    stream = create(**ASKED, max_tokens=64, stream=True, extra_headers={"x-weather": "stream"})
    try:
        kinds = [event.type for event in stream]
    except anthropic.APIStatusError as error:
        same(error.body["error"]["type"], "overloaded_error")
    else:
        raise AssertionError(f"the stream ended as if all were well: {kinds}")


messages()
models()
errors()
