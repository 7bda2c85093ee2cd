"""Stores a customer, posts an offer to them alone, and waits until it is sent. Needs botocore, which boto3 brings.

    eval "$(cargo xtask env)"       # or `offercast env --stack NAME`; the key is found as by every AWS tool
    python docs/examples/offer.py
"""

import json
import os
import time
import uuid

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.session import get_session

URL = os.environ["OFFERCAST_API_URL"]
AWS = get_session()
HTTP = URLLib3Session()


def call(method, path, body=None, **headers):
    """Signs a call, and returns the response. An error response is an exception that says what was wrong."""
    data = None if body is None else json.dumps(body)
    request = AWSRequest(method, URL + path, {"Content-Type": "application/json", **headers}, data)
    # Each time anew: keys of a role expire.
    SigV4Auth(AWS.get_credentials(), "execute-api", os.environ["AWS_REGION"]).add_auth(request)
    response = HTTP.send(request.prepare())
    result = json.loads(response.content or "null")
    if response.status_code >= 400:
        raise RuntimeError(f"{method} {path}: {result}")
    return result


call("PUT", "/customers/python-1", {"name": "Asha Rao", "email": "asha@python.example", "channels": ["email"]})

offer = {
    "code": "PYTHON",
    "description": "Dear {{ customer.name }}, get **5%** cashback",
    "eligibility": "customer.id == 'python-1'",
}
# With the same key, the offer is posted once, however often this call is repeated within a day.
posted = call("POST", "/offers", offer, **{"Idempotency-Key": str(uuid.uuid4())})
print("Posted offer", posted["id"])

while (push := call("GET", f"/offers/{posted['id']}/pushes/1"))["state"] in ("scheduled", "running"):
    time.sleep(1)
print({name: push[name] for name in ("sent", "failed", "optedOut", "reasons")})
