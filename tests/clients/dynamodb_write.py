#!/usr/bin/env python3
"""Does one call of DynamoDB with `boto3` as it comes.

The package reads `AWS_ENDPOINT_URL` and the keys itself. `TABLE_TIMEOUT` (seconds) is this program's own
setting; without it the package's minute holds. A transaction without a token gets one from the package.
"""

import json
import os

import boto3
from botocore.config import Config

settings = {}
if "TABLE_TIMEOUT" in os.environ:
    settings["config"] = Config(read_timeout=float(os.environ["TABLE_TIMEOUT"]))

job = json.loads(os.environ["BROWNOUT_OPERATION"])
table = boto3.client("dynamodb", **settings)
answer = getattr(table, job["call"])(**job["input"])
print("done:", answer)
