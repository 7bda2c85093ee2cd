"""The work of the function `email` as one would write it for Python: boto3 and smtplib, ten e-mails at a time, a conditional
write before and after each. It skips what a push without trouble does not need."""

import base64
import hashlib
import hmac
import html
import http.client
import json
import os
import re
import smtplib
import socket
import threading
import time
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

import boto3
from botocore.config import Config

ENV = os.environ
CONCURRENCY = 10
INTERVAL_US = 1_000_000 // int(ENV["EMAIL_RATE_PER_SECOND"])

dynamo = boto3.client("dynamodb", region_name=ENV["AWS_REGION"], config=Config(max_pool_connections=2 * CONCURRENCY))
Refused = dynamo.exceptions.ConditionalCheckFailedException
smtp_host, smtp_port = ENV["SMTP_URL"].removeprefix("smtp://").split(":")
pool = ThreadPoolExecutor(CONCURRENCY)
connections = threading.local()


def sha256(text):
    return hashlib.sha256(text.encode()).digest()


def keyed(key, text):
    return hmac.digest(key.encode(), text.encode(), "sha256")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def now_ms():
    return int(time.time() * 1000)


def text(value):
    return {"S": value}


def number(value):
    return {"N": str(value)}


def get(table, key):
    return dynamo.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")


def get_many(table, keys):
    return dynamo.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})["Responses"][table]


def delivery_key(offer, customer):
    return {"pk": text(f"{offer}#{sha256(customer)[0] % 16:x}"), "sk": text(f"{customer}#email")}


def filled(template, customer):
    """The text with the customer's values."""

    def value(match):
        name = match[1]
        found = customer["name"] if name == "name" else customer["attributes"]["M"][name]
        return str(next(iter(found.values())))

    return re.sub(r"\{\{\s*customer\.(\w+)\s*\}\}", value, template)


def reserve(count):
    """The time of the first of these sends, in microseconds since 1970."""
    length = INTERVAL_US * count
    update = {"TableName": ENV["PACING_TABLE"], "Key": {"pk": text("smtp")}}
    while True:
        now = now_ms() * 1000
        try:
            reply = dynamo.update_item(
                **update,
                ReturnValues="UPDATED_NEW",
                UpdateExpression="SET nextSend = nextSend + :length",
                ConditionExpression="nextSend BETWEEN :now AND :latest",
                ExpressionAttributeValues={
                    ":length": number(length), ":now": number(now), ":latest": number(now + 1_000_000),
                },
            )
            return int(reply["Attributes"]["nextSend"]["N"]) - length
        except Refused:
            pass
        try:
            dynamo.update_item(
                **update,
                UpdateExpression="SET nextSend = :next",
                ConditionExpression="attribute_not_exists(nextSend) OR nextSend < :now",
                ExpressionAttributeValues={":next": number(now + length), ":now": number(now)},
            )
            return now
        except Refused:
            pass


def composed(offer, customer, address_hash):
    signed = "k1." + base64url(address_hash + customer["pk"]["S"].encode())
    link = f"https://offers.bank.example/unsubscribe/{signed}.{base64url(keyed(ENV['LINK_KEY'], signed)[:16])}"
    subject, body = filled(offer["subject"]["S"], customer), filled(offer["description"]["S"], customer)
    brand, address, title = html.escape(ENV["BRAND_NAME"]), html.escape(ENV["POSTAL_ADDRESS"]), html.escape(subject)
    paragraphs = "\n".join(f'<p style="margin:12px 0">{html.escape(part)}</p>' for part in re.split(r"\n\n+", body))
    cell = "font-family:Helvetica,Arial,sans-serif;color:#14202e;padding:8px 28px"
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title></head>
<body style="margin:0;padding:24px 12px;background:#f3f5f8">
<table role="presentation" align="center" width="100%" cellpadding="0" cellspacing="0" style="max-width:560px;background:#fff">
<tr><td style="{cell};font-size:14px">{brand}</td></tr>
<tr><td style="{cell};font-size:22px;font-weight:bold">{title}</td></tr>
<tr><td style="{cell};font-size:16px;line-height:1.55">
{paragraphs}
</td></tr>
<tr><td style="{cell};font-size:12px;border-top:1px solid #e3e7ec">{brand}<br>{address}<br>
<a href="{link}">No more offers by e-mail</a></td></tr>
</table></body></html>"""
    message = EmailMessage(policy=SMTP)
    user, _, domain = customer["email"]["S"].rpartition("@")
    message["From"], message["Reply-To"] = ENV["FROM_ADDRESS"], ENV["REPLY_TO_ADDRESS"]
    message["To"], message["Subject"] = Address(customer["name"]["S"], user, domain), subject
    message["Message-ID"] = f"<{sha256(offer['pk']['S'] + '#' + customer['pk']['S']).hex()[:32]}@bank.example>"
    message["Date"] = formatdate()
    message["List-Unsubscribe"], message["List-Unsubscribe-Post"] = f"<{link}>", "List-Unsubscribe=One-Click"
    message.set_content(
        f"{body}\n\n-- \n{ENV['BRAND_NAME']}\n{ENV['POSTAL_ADDRESS']}\n\nNo more offers by e-mail: {link}\n",
        cte="quoted-printable",
    )
    message.add_alternative(page, subtype="html", cte="quoted-printable")
    return message


def connection():
    """The mail server's connection of this thread."""
    if not hasattr(connections, "smtp"):
        connections.smtp = smtplib.SMTP(smtp_host, int(smtp_port))
        # Without it each message waits for a delayed acknowledgement.
        connections.smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connections.smtp


def notify(batch, offer, customer, address_hash, deadline, at_us):
    """Claims, sends and records one e-mail. Returns whether it was sent."""
    message = composed(offer, customer, address_hash)
    wait = at_us / 1e6 - time.time()
    if wait > 0.001:
        time.sleep(wait)
    token = str(uuid.uuid4())
    delivery = {
        "TableName": ENV["DELIVERIES_TABLE"], "Key": delivery_key(batch["push"]["offer"], customer["pk"]["S"]),
        "ExpressionAttributeNames": {"#state": "state"},
    }
    try:
        dynamo.update_item(
            **delivery,
            UpdateExpression="SET #state = :claimed, push = :push, updatedAt = :now, expiresAt = :expires, "
            "leaseUntil = :until, leaseToken = :token, transport = :transport REMOVE reason ADD attempts :one",
            ConditionExpression="attribute_not_exists(pk) OR #state = :retry OR (#state = :claimed AND leaseUntil < :now)",
            ExpressionAttributeValues={
                ":claimed": text("claimed"), ":retry": text("retry"), ":push": number(batch["push"]["number"]),
                ":now": number(now_ms()), ":expires": number(4_105_036_799), ":until": number(deadline + 5_000),
                ":token": text(token), ":transport": text("smtp"), ":one": number(1),
            },
        )
    except Refused:
        return False
    connection().send_message(message)
    dynamo.update_item(
        **delivery,
        UpdateExpression="SET #state = :sent, updatedAt = :now, providerMessageId = :message, addressHash = :hash "
        "REMOVE leaseUntil, leaseToken",
        ConditionExpression="leaseToken = :token",
        ExpressionAttributeValues={
            ":sent": text("sent"), ":now": number(now_ms()), ":message": text(message["Message-ID"]),
            ":token": text(token), ":hash": text(address_hash.hex()),
        },
    )
    return True


def deliver(batch, deadline):
    offer_id, customers = batch["push"]["offer"], batch["customers"]
    push = f"{offer_id}#{batch['push']['number']:04}"
    pushed = get(ENV["PUSHES_TABLE"], {"pk": text(push), "sk": text("push")})
    offer = get(ENV["OFFERS_TABLE"], {"pk": text(offer_id), "sk": text("offer")})
    get(ENV["PACING_TABLE"], {"pk": text("smtp")})
    if pushed["state"]["S"] == "cancelled":
        return
    served = get_many(ENV["DELIVERIES_TABLE"], [delivery_key(offer_id, customer) for customer in customers])
    done = {item["sk"]["S"] for item in served}
    recipients = [
        (customer, keyed(ENV["HASH_KEY"], f"email:{customer['email']['S'].lower()}"))
        for customer in get_many(ENV["CUSTOMERS_TABLE"], [{"pk": text(customer)} for customer in customers])
        if text("email") in customer["channels"]["L"] and f"{customer['pk']['S']}#email" not in done
    ]
    keys = [
        {"pk": text(key)}
        for customer, address_hash in recipients
        for key in (f"email#{address_hash.hex()}", f"customer#{customer['pk']['S']}")
    ]
    refused = {item["pk"]["S"] for item in get_many(ENV["SUPPRESSIONS_TABLE"], keys)}
    recipients = [(customer, found) for customer, found in recipients if f"email#{found.hex()}" not in refused]
    first = reserve(len(recipients))
    sends = [
        pool.submit(notify, batch, offer, customer, address_hash, deadline, first + index * INTERVAL_US)
        for index, (customer, address_hash) in enumerate(recipients)
    ]
    sent = sum(send.result() for send in sends)
    dynamo.update_item(
        TableName=ENV["PUSHES_TABLE"],
        Key={"pk": text(push), "sk": text(f"slice#{batch['slice']:04}")},
        UpdateExpression="DELETE batchesOpen :batches ADD sent :count SET heartbeat = :now",
        ConditionExpression="generation = :generation AND contains(batchesOpen, :batch)",
        ExpressionAttributeValues={
            ":batches": {"NS": [str(batch["batch"])]}, ":batch": number(batch["batch"]), ":count": number(sent),
            ":generation": number(batch["generation"]), ":now": number(now_ms()),
        },
    )
    print(json.dumps({"level": "INFO", "message": "batch delivered", "sent": sent}), flush=True)


runtime = http.client.HTTPConnection(ENV["AWS_LAMBDA_RUNTIME_API"])


def call(method, path, body=None):
    runtime.request(method, f"/2018-06-01/runtime/{path}", body)
    reply = runtime.getresponse()
    return reply.headers, reply.read()


while True:
    headers, event = call("GET", "invocation/next")
    request = headers["lambda-runtime-aws-request-id"]
    try:
        for record in json.loads(event)["Records"]:
            deliver(json.loads(record["body"]), int(headers["lambda-runtime-deadline-ms"]))
        call("POST", f"invocation/{request}/response", '{"batchItemFailures": []}')
    except Exception:
        call("POST", f"invocation/{request}/error", json.dumps({"errorMessage": traceback.format_exc()}))
