"""Reads every message of a folder with Python's own parser, and prints as JSON what a reader would see."""
import email
import email.policy
import json
import pathlib
import sys


def defects(part):
    found = [repr(defect) for defect in part.defects]
    found += [f"{name}: {defect!r}" for name, value in part.items() for defect in value.defects]
    return found


def mailbox(header):
    (address,) = header.addresses
    return [address.display_name, address.addr_spec]


def seen(path):
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    return {
        "subject": message["Subject"],
        "from": mailbox(message["From"]),
        "to": mailbox(message["To"]),
        "text": message.get_body(("plain",)).get_content(),
        "html": message.get_body(("html",)).get_content(),
        "headers": message.keys(),
        "defects": [defect for part in message.walk() for defect in defects(part)],
    }


print(json.dumps({path.stem: seen(path) for path in pathlib.Path(sys.argv[1]).iterdir()}))
