#!/usr/bin/env python3
"""Writes to DynamoDB with `boto3`, and never twice what must be written once.

A transaction carries a token and a put takes the place of itself, so both are repeated; an update that adds is
not, once it may have happened. The package's own retries are switched off, because nobody can tell them which
is which. Throttling and mistakes are both status 400: the code in the body decides.
"""

import json
import os
import random
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

MAX_ATTEMPTS = 5
EXIT_UNKNOWN = 75
THROTTLING = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
}
TRANSIENT = {"TransactionInProgressException"}


def write(job):
    give_up_at = time.monotonic() + job["deadline_ms"] / 1000 - 0.5
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=1.5, read_timeout=1.5)
    call = getattr(boto3.client("dynamodb", config=config), job["call"])
    is_safe = job["call"] in ("put_item", "get_item", "transact_write_items")
    may_have_happened = False
    for number in range(1, MAX_ATTEMPTS + 1):
        asked = 0.0
        try:
            return call(**job["input"])
        except ClientError as error:
            answer = error.response
            status = answer["ResponseMetadata"]["HTTPStatusCode"]
            code, problem = answer["Error"]["Code"], error
            asked = asked_wait(answer)
            if status >= 500 or code in TRANSIENT:
                may_have_happened = True
            elif code not in THROTTLING:
                sys.exit(f"refused: {error}")
        except BotoCoreError as error:
            may_have_happened, problem = True, error
        pause = max(asked, 0.2 * 2**number * random.uniform(0.5, 1))
        is_over = number == MAX_ATTEMPTS or time.monotonic() + pause >= give_up_at
        if is_over or (may_have_happened and not is_safe):
            break
        time.sleep(pause)
    print(problem)
    sys.exit(EXIT_UNKNOWN if may_have_happened else 1)


def asked_wait(answer):
    """The seconds that the answer asks for; 0 where it asks for none, or for nothing that can be understood."""
    text = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-retry-after", "")
    return int(text) / 1000 if text.isascii() and text.isdigit() else 0.0


if __name__ == "__main__":
    print("done:", write(json.loads(os.environ["BROWNOUT_OPERATION"])))
