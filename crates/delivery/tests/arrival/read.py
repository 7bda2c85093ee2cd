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


def named_list(message):
    """Name and identifier of the list, whose header is that of a mailbox except for the @."""
    (value,) = [value for name, value in message.raw_items() if name == "List-Id"]
    return mailbox(email.policy.default.header_fetch_parse("To", "<x@".join(value.rsplit("<", 1))))


def seen(path):
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    list_name, list_id = named_list(message)
    return {
        "subject": message["Subject"],
        "from": mailbox(message["From"]),
        "to": mailbox(message["To"]),
        "text": message.get_body(("plain",)).get_content(),
        "html": message.get_body(("html",)).get_content(),
        "list": [list_name, list_id.removeprefix("x@")],
        "feedback_id": message["Feedback-ID"],
        "auto_submitted": message["Auto-Submitted"],
        "content_language": message["Content-Language"],
        "headers": [name.lower() for name in message.keys()],
        "defects": [defect for part in message.walk() for defect in defects(part)],
    }


print(json.dumps({path.stem: seen(path) for path in pathlib.Path(sys.argv[1]).iterdir()}))
