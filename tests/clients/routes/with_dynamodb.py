#!/usr/bin/env python3
"""Calls every route of DynamoDB with `boto3`, reads what its users read, and provokes its errors."""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, ConnectionClosedError
from held import refused, same

# The package reads `AWS_ENDPOINT_URL` and its keys itself.
ONCE = Config(retries={"total_max_attempts": 1})
client = boto3.client("dynamodb", config=ONCE)
table = boto3.resource("dynamodb", config=ONCE).Table("orders")
KEY = {"id": {"S": "order-1"}}


def items():
    put = client.put_item(TableName="orders", Item={**KEY, "total": {"N": "1999"}})
    meta = put["ResponseMetadata"]
    same((meta["HTTPStatusCode"], meta["RetryAttempts"], bool(meta["RequestId"])), (200, 0, True))
    found = client.get_item(TableName="orders", Key=KEY)
    same(found["Item"], {**KEY, "total": {"N": "1999"}})
    assert "Item" not in client.get_item(TableName="orders", Key={"id": {"S": "none"}})
    old = client.put_item(TableName="orders", Item={**KEY, "total": {"N": "5"}}, ReturnValues="ALL_OLD")
    same(old["Attributes"], {**KEY, "total": {"N": "1999"}})
    changed = {"UpdateExpression": "ADD paid :paid", "ExpressionAttributeValues": {":paid": {"N": "5"}}}
    assert "Attributes" not in client.update_item(TableName="orders", Key=KEY, **changed)
    old = client.update_item(TableName="orders", Key=KEY, ReturnValues="ALL_OLD", **changed)
    same(old["Attributes"]["total"], {"N": "5"})
    made = {"id": {"S": "order-2"}}
    client.update_item(TableName="orders", Key=made, **changed)
    same(client.get_item(TableName="orders", Key=made)["Item"], made)
    # The resource speaks of the same in Python's own types.
    table.put_item(Item={"id": "order-3", "total": 7})
    same(table.get_item(Key={"id": "order-3"})["Item"]["total"], 7)
    table.update_item(Key={"id": "order-3"}, UpdateExpression="SET paid = :yes", ExpressionAttributeValues={":yes": True})


def keys_of_ones_own():
    seats = boto3.resource("dynamodb", config=ONCE).Table("seats")
    for seat in [1, 2]:
        seats.put_item(Item={"row": "a", "seat": seat, "id": "the same", "sold": False})
    seats.put_item(Item={"row": "a", "seat": 2, "sold": True})
    same([seats.get_item(Key={"row": "a", "seat": n})["Item"]["sold"] for n in [1, 2]], [False, True])
    assert "Item" not in seats.get_item(Key={"row": "b", "seat": 1})
    wrong = [
        (seats.put_item, {"Item": {"row": "a"}}),
        (seats.get_item, {"Key": {"row": "a"}}),
        (seats.get_item, {"Key": {"row": "a", "seat": 1, "id": "the same"}}),
        (boto3.resource("dynamodb", config=ONCE).Table("orders").get_item, {"Key": {"id": "order-1", "line": 1}}),
    ]
    for call, what in wrong:
        same(told(refused(ClientError, call, **what)), (400, "ValidationException"))


def conditions():
    absent = {"ConditionExpression": "attribute_not_exists(id)"}
    client.put_item(TableName="orders", Item={"id": {"S": "order-4"}}, **absent)
    wrong = client.exceptions.ConditionalCheckFailedException
    error = refused(wrong, client.put_item, TableName="orders", Item={"id": {"S": "order-4"}}, **absent)
    same(told(error), (400, "ConditionalCheckFailedException"))
    error = refused(
        wrong, client.update_item, TableName="orders", Key=KEY, UpdateExpression="SET paid = :n",
        ExpressionAttributeValues={":n": {"N": "1"}}, **absent,
    )
    same(told(error), (400, "ConditionalCheckFailedException"))


def transactions():
    writes = [{"Put": {"TableName": "orders", "Item": KEY}}]
    client.transact_write_items(TransactItems=writes)
    client.transact_write_items(TransactItems=writes, ClientRequestToken="token-1")
    client.transact_write_items(TransactItems=writes, ClientRequestToken="token-1")
    other = [{"Put": {"TableName": "orders", "Item": made_of("order-9")}}]
    error = refused(
        client.exceptions.IdempotentParameterMismatchException, client.transact_write_items,
        TransactItems=other, ClientRequestToken="token-1",
    )
    same(told(error), (400, "IdempotentParameterMismatchException"))
    error = refused(
        client.exceptions.TransactionCanceledException, client.transact_write_items,
        TransactItems=other, ClientRequestToken="token-canceled",
    )
    same(told(error), (400, "TransactionCanceledException"))
    reasons = error.response["CancellationReasons"]
    same([one["Code"] for one in reasons], ["ConditionalCheckFailed"])
    error = refused(
        client.exceptions.TransactionInProgressException, client.transact_write_items,
        TransactItems=other, ClientRequestToken="token-busy",
    )
    same(told(error), (400, "TransactionInProgressException"))


def made_of(name):
    return {"id": {"S": name}}


def told(error):
    assert error.response["Error"]["Message"], error.response
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def errors():
    loose = boto3.client("dynamodb", config=ONCE.merge(Config(parameter_validation=False)))
    error = refused(ClientError, loose.get_item, TableName="orders")
    same(told(error), (400, "ValidationException"))
    error = refused(ClientError, client.put_item, TableName="orders", Item={"total": {"N": "5"}})
    same(told(error), (400, "ValidationException"))
    assert "Missing the key" in error.response["Error"]["Message"], error.response
    error = refused(ClientError, client.get_item, TableName="orders", Key={"order": {"S": "order-1"}})
    same(told(error), (400, "ValidationException"))
    writes = [{"Put": {"TableName": "orders", "Item": made_of(f"order-{n}")}} for n in range(101)]
    for wrong in [[], writes]:
        same(told(refused(ClientError, loose.transact_write_items, TransactItems=wrong)), (400, "ValidationException"))
    error = refused(ClientError, client.scan, TableName="orders")
    same(told(error), (400, "UnknownOperationException"))
    for name, kind, status, code in [
        ("busy", client.exceptions.ProvisionedThroughputExceededException, 400, None),
        ("throttled", client.exceptions.ThrottlingException, 400, None),
        ("missing", client.exceptions.ResourceNotFoundException, 400, None),
        ("stranger", ClientError, 400, "MissingAuthenticationTokenException"),
        ("forbidden", ClientError, 400, "AccessDeniedException"),
        ("broken", client.exceptions.InternalServerError, 500, None),
        ("down", ClientError, 503, "ServiceUnavailable"),
    ]:
        error = refused(kind, client.put_item, TableName=name, Item=KEY)
        same(told(error), (status, code or kind.__name__))
        same("Rate of requests" in error.response["Error"]["Message"], name == "throttled")
    refused(ConnectionClosedError, client.put_item, TableName="gone", Item=KEY)


items()
keys_of_ones_own()
conditions()
transactions()
errors()
