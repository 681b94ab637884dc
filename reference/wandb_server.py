"""A stand-in for the server of Weights & Biases, on this machine only: it answers what `wandb sync` asks
and keeps what it is sent. Nothing of it is stored, and no account exists.
"""

import gzip
import http.server
import json
import re
import threading


class Server(http.server.ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1 until closed; used by `with`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.operations, self.runs, self.artifacts, self.manifests = [], [], [], []
        self.history, self.stored, self.ends, self.lock = {}, {}, [], threading.Lock()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """The client drops connections as it likes."""

    def answer(self, request):
        """Answers a query of GraphQL."""
        match = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
        operation, variables = match.group(1), request.get("variables") or {}
        with self.lock:
            self.operations.append(operation)
            number = f"id{len(self.operations)}"
            return {"data": ANSWERS.get(operation, lambda *_: {})(self, number, variables)}

    def stream(self, message):
        """Takes rows of metrics, and the end of a run."""
        with self.lock:
            chunk = message.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
            for number, line in enumerate(chunk["content"], chunk["offset"]):
                self.history[number] = json.loads(line)
            if message.get("complete"):
                self.ends.append(message["exitcode"])


def upsert_bucket(server, _, variables):
    server.runs.append(variables)
    project = {"id": "project", "name": variables["project"], "entity": {"id": "entity", "name": "mock"}}
    bucket = {
        "id": "run", "name": variables["name"], "displayName": variables["displayName"] or "", "description": None,
        "config": variables["config"], "sweepName": None, "project": project, "historyLineCount": 0,
    }
    return {"upsertBucket": {"bucket": bucket, "inserted": True}}


def create_artifact(server, number, variables):
    server.artifacts.append(variables.get("input", variables))
    artifact = {"id": number, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
    return {"createArtifact": {"artifact": artifact}}


def create_manifest(server, number, _):
    file = upload(server, number, "wandb_manifest.json", f"manifest/{number}")
    return {"createArtifactManifest": {"artifactManifest": {"id": number, "file": file}}}


def create_artifact_files(server, number, variables):
    files = variables.get("artifactFiles") or variables["input"]["artifactFiles"]
    nodes = [
        upload(server, number, file["name"], f"artifact/{file['artifactID']}/{file['name']}")
        | {"storagePath": file["name"], "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}
        for file in files
    ]
    return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}


def create_run_files(server, _, variables):
    files = [{"name": name, "uploadUrl": f"{server.url}/storage/run/{name}"} for name in variables["files"]]
    return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": files}}


def upload(server, number, name, path):
    url = f"{server.url}/storage/{path}"
    return {"id": number, "name": name, "displayName": name, "uploadUrl": url, "uploadHeaders": []}


ANSWERS = {
    "UpsertBucket": upsert_bucket,
    "ServerFeaturesQuery": lambda *_: {"serverInfo": {"features": []}},
    "CreateArtifact": create_artifact,
    "CreateArtifactManifest": create_manifest,
    "CreateArtifactFiles": create_artifact_files,
    "CommitArtifact": lambda server, number, _: {"commitArtifact": {"artifact": {"id": number, "digest": ""}}},
    "CreateRunFiles": create_run_files,
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = {}
        if self.path == "/graphql":
            answer = self.server.answer(json.loads(body))
        elif self.path.endswith("/file_stream"):
            self.server.stream(json.loads(body))
        elif self.path.startswith("/storage/"):
            with self.server.lock:
                self.server.stored[self.path.removeprefix("/storage/")] = body
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = handle_request

    def log_message(self, *_):
        """Says nothing."""
