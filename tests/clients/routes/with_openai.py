#!/usr/bin/env python3
"""Calls every route of OpenAI with the `openai` package, reads what its users read, and provokes its errors."""

import openai
from held import refused, same

TEXT = "All is well ✓"
ASKED = [{"role": "user", "content": "How is all?"}]
# The package reads `OPENAI_BASE_URL` and `OPENAI_API_KEY` itself.
client = openai.OpenAI(max_retries=0)


def chat():
    create = client.chat.completions.create
    answer = create(model="gpt-4o-mini", messages=ASKED)
    assert answer.id.startswith("chatcmpl-"), answer
    same((answer.object, answer.model), ("chat.completion", "gpt-4o-mini"))
    choice = answer.choices[0]
    same((choice.message.role, choice.message.content, choice.finish_reason), ("assistant", TEXT, "stop"))
    usage = answer.usage
    same(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens)
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=ASKED)
    assert raw.headers["x-request-id"].startswith("req_"), raw.headers
    same(raw.parse().choices[0].message.content, TEXT)

    chunks = list(create(model="gpt-4o-mini", messages=ASKED, stream=True, stream_options={"include_usage": True}))
    same("".join(one.choices[0].delta.content or "" for one in chunks if one.choices), TEXT)
    same({one.id for one in chunks}, {chunks[0].id})
    same((chunks[-2].choices[0].finish_reason, chunks[-1].usage.total_tokens), ("stop", usage.total_tokens))
    with client.chat.completions.stream(model="gpt-4o-mini", messages=ASKED) as stream:
        kinds = {event.type for event in stream}
        same(stream.get_final_completion().choices[0].message.content, TEXT)
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds


def responses():
    answer = client.responses.create(model="gpt-4o-mini", input="How is all?", metadata={"order": "1"})
    same((answer.output_text, answer.status, answer.error), (TEXT, "completed", None))
    same((answer.output[0].role, answer.metadata, answer.model), ("assistant", {"order": "1"}, "gpt-4o-mini"))
    same(answer.usage.input_tokens + answer.usage.output_tokens, answer.usage.total_tokens)
    same(client.responses.retrieve(answer.id).to_dict(), answer.to_dict())
    listed = client.responses.create(model="gpt-4o-mini", input=ASKED)
    same(listed.output_text, TEXT)

    events = list(client.responses.create(model="gpt-4o-mini", input="How is all?", stream=True))
    same([one.sequence_number for one in events], list(range(len(events))))
    same("".join(one.delta for one in events if one.type == "response.output_text.delta"), TEXT)
    same((events[0].type, events[-1].type), ("response.created", "response.completed"))
    same(client.responses.retrieve(events[-1].response.id).output_text, TEXT)
    with client.responses.stream(model="gpt-4o-mini", input="How is all?") as stream:
        same(sum(event.type == "response.output_text.delta" for event in stream), 4)
        same(stream.get_final_response().output_text, TEXT)


def embeddings():
    create = client.embeddings.create
    one = create(model="text-embedding-3-small", input="cat", encoding_format="float")
    same((one.object, one.model, one.data[0].index), ("list", "text-embedding-3-small", 0))
    assert one.data[0].embedding and all(isinstance(number, float) for number in one.data[0].embedding), one
    same(one.usage.prompt_tokens, one.usage.total_tokens)
    # The package asks for base64 unless it is told not to, and its users see numbers.
    usual = create(model="text-embedding-3-small", input="cat")
    same(usual.data[0].embedding, one.data[0].embedding)
    # As many as were asked for, in their order.
    many = create(model="text-embedding-3-small", input=["cat", "dog", "cow"])
    same([each.index for each in many.data], [0, 1, 2])
    same(len(many.data[2].embedding), len(one.data[0].embedding))
    same(len(create(model="text-embedding-3-small", input=["cat"] * 2048).data), 2048)
    for wrong in [5, "", [""], ["cat", None], ["cat"] * 2049]:
        error = refused(openai.BadRequestError, create, model="text-embedding-3-small", input=wrong)
        same((error.status_code, error.type, error.param), (400, "invalid_request_error", None))
        same((error.code, error.body["message"][:21]), (None, "'$.input' is invalid."))
    error = refused(openai.BadRequestError, create, model="text-embedding-3-small", input=[])
    same((error.status_code, error.param, error.code), (400, "input", "empty_array"))


def models():
    page = client.models.list()
    names = [one.id for one in page]
    assert "gpt-4o-mini" in names, names
    for name in names:
        model = client.models.retrieve(name)
        same((model.id, model.object, model.owned_by), (name, "model", "system"))
    listed = {one.id: one.created for one in page}
    same(client.models.retrieve("gpt-4o").created, listed["gpt-4o"])
    error = refused(openai.NotFoundError, client.models.retrieve, "none")
    same((error.status_code, error.code, error.param), (404, "model_not_found", "model"))


def errors():
    create = client.chat.completions.create
    error = refused(openai.BadRequestError, create, model="gpt-4o-mini", messages=ASKED, extra_body={"messages": None})
    same((error.status_code, error.type, error.param), (400, "invalid_request_error", "messages"))
    same(error.code, "missing_required_parameter")
    for wrong, code in [("no list", "invalid_value"), ([], "empty_array")]:
        error = refused(openai.BadRequestError, create, model="gpt-4o-mini", messages=wrong)
        same((error.param, error.code), ("messages", code))
    assert error.body["message"].startswith("Invalid 'messages': empty array."), error.body
    error = refused(openai.NotFoundError, client.responses.retrieve, "resp_none")
    same((error.status_code, error.type), (404, "invalid_request_error"))
    error = refused(openai.NotFoundError, client.files.list)
    same((error.status_code, error.code), (404, "unknown_url"))
    for weather, kind, status, code in [
        ("auth", openai.AuthenticationError, 401, "invalid_api_key"),
        ("forbidden", openai.PermissionDeniedError, 403, "forbidden"),
        ("missing", openai.NotFoundError, 404, "model_not_found"),
        ("limit", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("quota", openai.RateLimitError, 429, "insufficient_quota"),
        ("conflict", openai.ConflictError, 409, "conflict"),
        ("broken", openai.InternalServerError, 500, "server_error"),
        ("overloaded", openai.InternalServerError, 503, "overloaded"),
    ]:
        error = refused(kind, create, model="gpt-4o-mini", messages=ASKED, extra_headers={"x-weather": weather})
        same((error.status_code, error.code), (status, code))
        assert error.request_id.startswith("req_") and error.message, error
    refused(openai.APIConnectionError, create, model="gpt-4o-mini", messages=ASKED, extra_headers={"x-weather": "gone"})


chat()
responses()
embeddings()
models()
errors()
