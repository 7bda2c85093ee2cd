"""LocalStack as a program of this machine: it, its functions and its database are processes, and listen on loopback.

`serve.py PORT FOLDER DYNAMODB` keeps its files in FOLDER, and finds DynamoDB Local in the folder DYNAMODB.

LocalStack runs functions in containers. Here each execution environment is a process of the function's `bootstrap`, with
a Runtime API of its own (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html). A process that ends or
takes too long fails its invocation, and the next invocation starts another.
"""

import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"

PORT, FOLDER, DYNAMODB = sys.argv[1:]

# Read when LocalStack is imported.
os.environ |= {
    "GATEWAY_LISTEN": f"{HOST}:{PORT}",
    "LOCALSTACK_HOST": f"{HOST}:{PORT}",
    "FILESYSTEM_ROOT": FOLDER,
    "OVERRIDE_IN_DOCKER": "0",
    "PROVIDER_OVERRIDE_DYNAMODB": "v2",
    "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "v2",
    "DYNAMODB_IN_MEMORY": "1",
    # It tells nobody that it runs, and asks the network for nothing.
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    # Its event sources would otherwise wait a second after each message, and ten for the next.
    "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0",
    "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "0.2",
    # A line and a metric for each request would slow it down.
    "LS_LOG": "warn",
    "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
}

from localstack import config
from localstack.runtime import main
from localstack.services.dynamodb.server import DynamodbServer
from localstack.services.lambda_.event_source_mapping.pollers.sqs_poller import SqsPoller
from localstack.services.lambda_.invocation import runtime_executor
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.utils.threads import FuncThread
from twisted.internet import endpoints
from twisted.web.http import HTTPFactory

# What a function's process inherits of ours; all else comes from its configuration.
INHERITED = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR")
# Seconds between two looks at a process that has not answered yet.
LOOK = 0.05
# How many batches of a queue Lambda handles at the same time before it has scaled up
# (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html). LocalStack's own is one.
BATCHES = 5


class RuntimeApi(BaseHTTPRequestHandler):
    """What a function's process asks for work, and tells the outcome."""

    protocol_version = "HTTP/1.1"
    # An answer goes out in several writes, each of which would wait for the last one's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self):
        # Only `invocation/next`. It waits; nothing is lost if the process is gone by then, for its queue goes with it.
        work = self.server.work.get()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", work["id"])
        self.send_header("Lambda-Runtime-Deadline-Ms", str(work["deadline"]))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", work["arn"])
        self.send_header("Lambda-Runtime-Trace-Id", work["trace"])
        self.send_header("Content-Type", "application/json")
        self.answer(work["payload"].encode())

    def do_POST(self):
        body = self.body()
        *_, request, outcome = self.path.split("/")
        # `invocation/<id>/response`, `invocation/<id>/error` or `init/error`.
        self.server.outcomes.put((request, outcome == "error", body))
        self.send_response(202)
        self.answer(b"")

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, body):
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Process:
    """One process of a function."""

    def __init__(self, folder, environment):
        self.server = ThreadingHTTPServer((HOST, 0), RuntimeApi)
        self.server.daemon_threads = True
        self.server.work, self.server.outcomes = queue.Queue(), queue.Queue()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        configured = {name: str(value) for name, value in environment.items() if value is not None}
        api = {"AWS_LAMBDA_RUNTIME_API": f"{HOST}:{self.server.server_port}", "LAMBDA_TASK_ROOT": str(folder)}
        self.process = subprocess.Popen(
            [os.path.join(folder, "bootstrap")],
            cwd=folder,
            env=inherited | configured | api,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.log, self.lock = [], threading.Lock()
        threading.Thread(target=self.read_log, daemon=True).start()

    def read_log(self):
        for line in self.process.stdout:
            with self.lock:
                self.log.append(line.decode(errors="replace"))

    def new_log(self):
        """What it said since the last time."""
        with self.lock:
            log, self.log = "".join(self.log), []
        return log

    def lives(self):
        return self.process.poll() is None

    def end(self):
        self.process.kill()
        self.process.wait()
        self.server.shutdown()
        self.server.server_close()


class ProcessExecutor(runtime_executor.RuntimeExecutor):
    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.environment, self.process = {}, None

    def start(self, env_vars):
        self.environment = env_vars
        self.process = self.new_process()

    def new_process(self):
        return Process(self.function_version.config.code.get_unzipped_code_location(), self.environment)

    def stop(self):
        if self.process:
            self.process.end()

    def invoke(self, payload):
        if not self.process.lives():
            self.process.end()
            self.process = self.new_process()
        request, limit = payload["invoke-id"], self.function_version.config.timeout
        deadline = time.time() + limit
        work = {"id": request, "deadline": int(deadline * 1000), "payload": payload["payload"]}
        work |= {"arn": payload["invoked-function-arn"], "trace": payload["trace-id"]}
        self.process.server.work.put(work)
        is_error, body = self.outcome(request, deadline, limit)
        # LocalStack takes an empty log for a mishap of its own.
        log = f"START RequestId: {request}\n{self.process.new_log()}END RequestId: {request}\n"
        return InvocationResult(request, body, is_error=is_error, logs=log)

    def outcome(self, request, deadline, limit):
        while True:
            try:
                of, is_error, body = self.process.server.outcomes.get(timeout=LOOK)
                if of in (request, "init"):
                    return is_error, body
                continue
            except queue.Empty:
                pass
            if not self.process.lives():
                return failure("Runtime.ExitError", f"RequestId: {request} Error: Runtime exited")
            if time.time() > deadline:
                self.process.end()
                return failure("Sandbox.Timedout", f"RequestId: {request} Error: Task timed out after {limit}.00 seconds")

    def get_address(self):
        return HOST

    def get_endpoint_from_executor(self):
        return HOST

    def get_runtime_endpoint(self):
        return f"http://{HOST}:{config.GATEWAY_LISTEN[0].port}"

    def get_logs(self):
        return self.process.new_log() if self.process else ""

    @classmethod
    def prepare_version(cls, function_version):
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        pass


def failure(kind, message):
    return True, json.dumps({"errorType": kind, "errorMessage": message}).encode()


def start_dynamodb(self):
    """LocalStack's own start downloads DynamoDB Local and a Java for it, and leaves it behind when killed."""
    local, program = Path(DYNAMODB), Path(__file__).with_name("DynamoDbOnLoopback.java")
    libraries = local / "DynamoDBLocal_lib"
    java = subprocess.Popen(
        ["java", "-Xmx512m", f"-Djava.library.path={libraries}", "-cp", f"{local}/DynamoDBLocal.jar:{libraries}/*"]
        + [program, "-port", str(self.port), "-inMemory"],
        env=os.environ | {"DDB_LOCAL_TELEMETRY": "0"},
    )
    thread = FuncThread(lambda *_: java.wait(), on_stop=lambda *_: java.terminate(), name="dynamodb-local")
    thread.start()
    return thread


poll_events, handle_messages = SqsPoller.poll_events, SqsPoller.handle_messages


def slots_of(poller):
    return poller.__dict__.setdefault("slots", threading.Semaphore(BATCHES))


def poll_when_free(self):
    """Goes on while earlier messages are handled; takes none that nobody is free for."""
    slots_of(self).acquire()
    self.is_handled_elsewhere = False
    try:
        poll_events(self)
    finally:
        if not self.is_handled_elsewhere:
            slots_of(self).release()


def handle_elsewhere(self, messages):
    def handle():
        try:
            handle_messages(self, messages)
        except Exception:
            # They come again when their time of being hidden is over, as they do on AWS.
            logging.warning("A batch was not handled", exc_info=True)
        finally:
            slots_of(self).release()

    self.is_handled_elsewhere = True
    threading.Thread(target=handle, daemon=True).start()


def close_when_done(self):
    """An event source is disabled when the last of its messages is handled."""
    for _ in range(BATCHES):
        slots_of(self).acquire()
    slots_of(self).release(BATCHES)


SqsPoller.poll_events, SqsPoller.handle_messages, SqsPoller.close = poll_when_free, handle_elsewhere, close_when_done
runtime_executor.get_runtime_executor = lambda: ProcessExecutor
DynamodbServer.do_start_thread = start_dynamodb
# Its server's own line for each request, which goes nowhere.
HTTPFactory.log = lambda self, request: None
# The server would close connections that were idle for a minute, at times just when its own event sources use one again: what
# they were about to hand over would then be hidden for a quarter of an hour.
HTTPFactory.timeOut = property(lambda self: None, lambda self, seconds: None)
# It would listen on every interface, whatever GATEWAY_LISTEN says.
endpoints.TCP4ServerEndpoint = partial(endpoints.TCP4ServerEndpoint, interface=HOST)
main.main()
