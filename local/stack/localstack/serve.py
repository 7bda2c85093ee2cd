"""Runs LocalStack without containers: LocalStack, its functions and its database are processes that listen on loopback, and
answer no web page of another origin. LocalStack checks no signatures: any program of this machine may use it with any key.

`serve.py PORT FOLDER DYNAMODB` stores its files in FOLDER and uses DynamoDB Local from the folder DYNAMODB.

By default, LocalStack runs functions in containers. Here each execution environment is a process of the function's `bootstrap`
with its own Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html). If a process exits or times out, its
invocation fails, and the next invocation starts a new process.
"""

import json
import logging
import os
import queue
import select
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"

PORT, FOLDER, DYNAMODB = sys.argv[1:]

# LocalStack reads these when it is imported.
os.environ |= {
    "GATEWAY_LISTEN": f"{HOST}:{PORT}",
    "LOCALSTACK_HOST": f"{HOST}:{PORT}",
    "FILESYSTEM_ROOT": FOLDER,
    "OVERRIDE_IN_DOCKER": "0",
    "PROVIDER_OVERRIDE_DYNAMODB": "v2",
    "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "v2",
    "DYNAMODB_IN_MEMORY": "1",
    # No telemetry and no network access.
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    # By default, event sources wait one second after each message, and up to ten when the queue is empty.
    "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0",
    "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "0.2",
    # A log line and a metric for each request would slow it down.
    "LS_LOG": "warn",
    "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
}

# The folder of the source code stays as it is.
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "loopback"))
from only_from_here import guard_http_servers, refusal_of_raw

sys.dont_write_bytecode = False

from botocore.exceptions import ClientError
from localstack import config
from localstack.runtime import main
from localstack.services.dynamodb.server import DynamodbServer
from localstack.services.lambda_.event_source_mapping.pollers.sqs_poller import SqsPoller
from localstack.services.lambda_.invocation import runtime_executor
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.utils.threads import FuncThread
from rolo.serving.twisted import TwistedRequestAdapter
from twisted.internet import endpoints
from twisted.web.http import HTTPFactory

# Environment variables that a function's process inherits; the others come from its configuration.
INHERITED = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR")
# Seconds between two checks of a process that has not responded yet.
POLL_SECONDS = 0.05
# Batches of a queue that Lambda handles concurrently before it scales up
# (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html). LocalStack handles one.
CONCURRENT_BATCHES = 5


class RuntimeApi(BaseHTTPRequestHandler):
    """The Runtime API: a function's process fetches its invocations here and returns the results."""

    protocol_version = "HTTP/1.1"
    # A response is sent in several writes; with Nagle's algorithm each would wait for the previous acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self):
        # Only `invocation/next`. Blocks until there is work. If the process exits meanwhile, its queue is discarded with it.
        work = self.server.work.get()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", work["id"])
        self.send_header("Lambda-Runtime-Deadline-Ms", str(work["deadline"]))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", work["arn"])
        self.send_header("Lambda-Runtime-Trace-Id", work["trace"])
        self.send_header("Content-Type", "application/json")
        self.respond(work["payload"].encode())

    def do_POST(self):
        body = self.body()
        *_, request, outcome = self.path.split("/")
        # `invocation/<id>/response`, `invocation/<id>/error` or `init/error`.
        self.server.outcomes.put((request, outcome == "error", body))
        self.send_response(202)
        self.respond(b"")

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def respond(self, body):
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Process:
    """A process of a function."""

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
            bufsize=0,
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self.log, self.lock = b"", threading.Lock()
        threading.Thread(target=self.empty_pipe, daemon=True).start()

    def empty_pipe(self):
        """Reads the output while an invocation runs, so that a full pipe never blocks the function."""
        output = self.process.stdout
        while True:
            select.select([output], [], [])
            with self.lock:
                if not self.read_output():
                    return

    def read_output(self):
        """Reads all that the process has written. False if it has closed its output."""
        while written := self.process.stdout.read(65536):
            self.log += written
        return written is None

    def new_log(self):
        """The output since the last call, with all that the process wrote before its last response."""
        with self.lock:
            self.read_output()
            log, self.log = self.log, b""
        return log.decode(errors="replace")

    def is_alive(self):
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
        if not self.process.is_alive():
            self.process.end()
            self.process = self.new_process()
        request, limit = payload["invoke-id"], self.function_version.config.timeout
        deadline = time.time() + limit
        work = {"id": request, "deadline": int(deadline * 1000), "payload": payload["payload"]}
        work |= {"arn": payload["invoked-function-arn"], "trace": payload["trace-id"]}
        self.process.server.work.put(work)
        is_error, body = self.outcome(request, deadline, limit)
        # LocalStack treats an empty log as an internal error.
        log = f"START RequestId: {request}\n{self.process.new_log()}END RequestId: {request}\n"
        return InvocationResult(request, body, is_error=is_error, logs=log)

    def outcome(self, request, deadline, limit):
        while True:
            try:
                of, is_error, body = self.process.server.outcomes.get(timeout=POLL_SECONDS)
                if of in (request, "init"):
                    return is_error, body
                continue
            except queue.Empty:
                pass
            if not self.process.is_alive():
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
    """Replaces LocalStack's start, which downloads DynamoDB Local and Java, and leaves the database running when killed."""
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
    return poller.__dict__.setdefault("slots", threading.Semaphore(CONCURRENT_BATCHES))


def poll_when_free(self):
    """Polls while earlier batches are still being handled, but only if a slot is free."""
    slots_of(self).acquire()
    self.is_handled_elsewhere = False
    try:
        poll_events(self)
    finally:
        if not self.is_handled_elsewhere:
            slots_of(self).release()


def is_emulator_error(error):
    """Whether LocalStack failed before it could invoke the function, which happens when many start at the same time."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"] == "ServiceException"


def handle_elsewhere(self, messages):
    def handle():
        try:
            try:
                handle_messages(self, messages)
            except Exception as error:
                if not is_emulator_error(error):
                    raise
                # Lambda on AWS invokes the function again. A failed batch would stay hidden for 15 minutes.
                logging.warning("LocalStack could not invoke the function; trying once more", exc_info=True)
                time.sleep(1)
                handle_messages(self, messages)
        except Exception:
            # The messages become visible again after their visibility timeout, as on AWS.
            logging.warning("Batch failed; its messages will be redelivered", exc_info=True)
        finally:
            slots_of(self).release()

    self.is_handled_elsewhere = True
    threading.Thread(target=handle, daemon=True).start()


def close_when_done(self):
    """Waits until all batches are handled before the event source is disabled."""
    for _ in range(CONCURRENT_BATCHES):
        slots_of(self).acquire()
    slots_of(self).release(CONCURRENT_BATCHES)


process = TwistedRequestAdapter.process


def process_unless_refused(self):
    headers = [(name, value) for name, values in self.requestHeaders.getAllRawHeaders() for value in values]
    refused = refusal_of_raw(self.method.decode("latin-1"), self.path.decode("latin-1"), headers)
    if not refused:
        return process(self)
    status, text = refused
    self.site = self.channel.site
    self.setResponseCode(status)
    self.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    self.setHeader(b"X-Content-Type-Options", b"nosniff")
    self.write(text.encode())
    self.finish()


TwistedRequestAdapter.process = process_unless_refused
guard_http_servers()
SqsPoller.poll_events, SqsPoller.handle_messages, SqsPoller.close = poll_when_free, handle_elsewhere, close_when_done
runtime_executor.get_runtime_executor = lambda: ProcessExecutor
DynamodbServer.do_start_thread = start_dynamodb
# Skip the server's access log, which is not shown anywhere.
HTTPFactory.log = lambda self, request: None
# The server closes connections after a minute without requests, sometimes just when one of its event sources sends the next one.
# The messages of that request would then stay hidden for 15 minutes.
HTTPFactory.timeOut = property(lambda self: None, lambda self, seconds: None)
# Without this, it listens on every interface despite GATEWAY_LISTEN.
endpoints.TCP4ServerEndpoint = partial(endpoints.TCP4ServerEndpoint, interface=HOST)
main.main()
