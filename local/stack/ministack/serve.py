"""Runs MiniStack so that nothing but this stack's own programs can use it: `serve.py`, with MiniStack's settings in the
environment, and in OFFERCAST_ADMINISTRATOR the access key id and secret of an administrator to create, with a colon between.

By itself, MiniStack lets every web page read its answers, takes the access key `test` and any 12 digits for the account's root
whatever the signature, and makes the keys of a function's role from the names of function and role. A page, or a function that
an intruder got hold of, could do everything with that. And `/health`, which API Gateway answers itself, would be empty.
"""

import hashlib
import hmac
import json
import os
import secrets
import sys
from pathlib import Path

# The folder of the source code stays as it is.
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "loopback"))
from only_from_here import guard_http_servers, guarded

sys.dont_write_bytecode = False

# Functions inherit the environment.
key_id, secret = os.environ.pop("OFFERCAST_ADMINISTRATOR").split(":")

# Before the parts of MiniStack that import it from here.
from ministack.core import iam_evaluator

iam_evaluator.is_root_access_key = lambda access_key_id: False

from ministack import app
from ministack.core import iam_actions, lambda_runtime
from ministack.services import apigateway_v1, iam, lambda_svc, sts

ADMINISTRATOR = "offercast-administrator"
EVERYTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'


def create_administrator():
    iam._create_user({"UserName": [ADMINISTRATOR]})
    iam._put_user_policy({"UserName": [ADMINISTRATOR], "PolicyName": ["everything"], "PolicyDocument": [EVERYTHING]})
    key = {"UserName": ADMINISTRATOR, "AccessKeyId": key_id, "SecretAccessKey": secret, "Status": "Active"}
    iam._access_keys[key_id] = key | {"CreateDate": iam._now()}


ROLE_KEYS = secrets.token_bytes(32)


def execution_credentials(config):
    """A function's access key. MiniStack's own follow from the names; these are new for each stack."""
    account, _ = lambda_runtime._account_region_from_function_config(config)
    role, name = config.get("Role", "").rsplit("/", 1)[-1], config.get("FunctionName", "")[:64]

    def digest(what):
        return hmac.new(ROLE_KEYS, f"{what}:{config['FunctionArn']}:{role}".encode(), hashlib.sha256).hexdigest()

    key_id, secret, token = f"ASIA{digest('id')[:16].upper()}", digest("secret"), digest("token")
    sts.register_session(key_id, {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{name}",
        "UserId": f"{role}:{name}",
        "SecretAccessKey": secret,
        "SessionToken": token,
    })
    return {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def without_reset(application):
    """Another user of the machine needs no key for what begins with `/_ministack/`, some of which ends or changes everything."""

    async def refuse_or_serve(scope, receive, send):
        if scope["type"] == "http" and scope["path"].rstrip("/") in ("/_ministack/reset", "/_ministack/config"):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            return await send({"type": "http.response.body", "body": b"not on this stack"})
        return await application(scope, receive, send)

    return refuse_or_serve


import_operation = apigateway_v1._import_operation


def import_operation_with_answer(api_id, resource_id, http_method, operation, *others):
    """MiniStack reads what a mock integration answers from its own API, but not from an OpenAPI document."""
    import_operation(api_id, resource_id, http_method, operation, *others)
    integration = (operation or {}).get("x-amazon-apigateway-integration", {})
    if integration.get("type") == "mock":
        for response in integration["responses"].values():
            status = str(response["statusCode"])
            apigateway_v1._put_integration_response(api_id, resource_id, http_method, status, response)


PARTIQL_ACTIONS = {"INSERT": "dynamodb:PartiQLInsert", "UPDATE": "dynamodb:PartiQLUpdate"}
transaction_checks = iam_actions.dynamodb_transaction_checks


def checks_of_each_write(action, body, region, account):
    """On AWS, a call of several statements needs what each of them does ("IAM security policies with PartiQL for DynamoDB" in the
    DynamoDB Developer Guide). MiniStack would ask for a permission that AWS does not know."""
    if action != "dynamodb:BatchExecuteStatement":
        return transaction_checks(action, body, region, account)
    checks = []
    for statement in json.loads(body)["Statements"]:
        verb, table = statement["Statement"].split()[0].upper(), statement["Statement"].split('"')[1]
        checks.append((PARTIQL_ACTIONS[verb], f"arn:aws:dynamodb:{region}:{account}:table/{table}"))
    return checks


create_administrator()
iam_actions.dynamodb_transaction_checks = checks_of_each_write
apigateway_v1._import_operation = import_operation_with_answer
lambda_runtime.execution_credentials = lambda_svc.execution_credentials = execution_credentials
guard_http_servers()
app.app = guarded(without_reset(app.app))
app.main()
