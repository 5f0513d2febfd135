"""A vLLM without a model: it speaks its protocol, and its answers depend on what was asked as a model's would."""

import base64
import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

REFUSAL = (
    "Per-request media_io_kwargs are disabled by default because they can change multimodal media loading resource "
    "usage. Start the server with --trust-request-mm-kwargs only when clients are trusted."
)
# Digits, the point, and what else can be written: token 20 opens the tag.
SYMBOLS = [*"0123456789", "."]


@dataclass
class FakeVllm:
    """How it behaves, and what it was asked.

    Attributes:
        trusts: takes `media_io_kwargs`.
        minds: times of frames.
        assumes: frames a second, where nothing is said.
        reads_files: video files as well as frames.
        tokenises: has /tokenize.
        remembers: videos by their names; it forgets them behind so many requests.
        a_frame: tokens of a frame, where it is none of Qwen's.
        most_tokens: of a video; those with more are enlarged.
        asked: bodies of the chat completions that it was asked for.
    """

    trusts: bool = True
    minds: bool = True
    assumes: float = 2.0
    reads_files: bool = True
    tokenises: bool = True
    logprobs: bool = True
    remembers: int = 1_000_000
    a_frame: int | None = None
    most_tokens: int = 1_000_000
    version: str | None = "0.32.0"
    asked: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)

    def chat(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        kwargs = body.get("media_io_kwargs")
        if kwargs and not self.trusts:
            self.refused.append(body)
            return 400, {"error": {"message": REFUSAL}}
        content = body["messages"][0]["content"]
        (video,) = [part for part in content if part["type"] == "video_url"]
        name = video.get("uuid")
        if video["video_url"] is None:
            if name not in self.known or len(self.asked) % self.remembers == 0:
                self.refused.append(body)
                return 400, {"error": {"message": "Cache miss for video at index 0 but data is not provided."}}
            data = self.known[name]
        else:
            data = video["video_url"]["url"]
            if name:
                self.known[name] = data
        self.asked.append(body)
        if data.startswith("data:video/mp4"):
            if not self.reads_files:
                return 500, {"error": {"message": "no decoder"}}
            frames, rate, area = *self._frames_of_file(data), 0
        else:
            frames, area = data.count(","), _area(data.split(",", 2)[1])
            rate = kwargs["video"]["fps"] if kwargs else self.assumes
        begun = body["messages"][1]["content"] if len(body["messages"]) > 1 else None
        seen = f"{frames} {rate if self.minds else 0} {content[-1]['text']}"
        tokens = frames * area // 2 // 784 if self.a_frame is None else frames * self.a_frame
        return 200, self._completion(body, seen, begun, tokens)

    def _frames_of_file(self, data: str) -> tuple[int, float]:
        import io

        import av

        with av.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as container:
            return sum(1 for _ in container.decode(video=0)), float(container.streams.video[0].average_rate)

    def odds(self, seen: str, beginning: str) -> list[float]:
        """Probabilities of digits, the point and the rest behind the beginning of an answer, by what is seen."""
        digest = hashlib.sha256(f"{seen}|{beginning}".encode()).digest()
        weights = [math.exp(byte / 40) for byte in digest[:12]]
        for place in range(12):
            wanted = (1 <= place <= 5) if not beginning else (place == 10) if len(beginning) == 1 else place < 10
            weights[place] *= 50 if wanted else 1
        return [weight / sum(weights) for weight in weights]

    def _completion(self, body: dict[str, Any], seen: str, begun: str | None, video: int) -> dict[str, Any]:
        beginning = (begun or "").rpartition("<answer>")[2]
        steps, text = [], beginning
        ids = body.get("logprob_token_ids")
        for _ in range(min(body["max_tokens"], 4)):
            odds = self.odds(seen + ("" if begun is not None else " unbegun"), text)
            place = max(range(11), key=odds.__getitem__)
            names = [f"token_id:{k}" if body.get("return_tokens_as_token_ids") else SYMBOLS[k] for k in range(11)]
            listed = [{"token": names[k], "logprob": math.log(odds[k]), "bytes": []} for k in ids or range(11)]
            steps.append({**listed[place], "top_logprobs": listed})
            text += SYMBOLS[place]
        words = 30 + len(begun or "") + (video if video <= self.most_tokens else 2 * video)
        written = text.removeprefix(beginning) if begun is not None else f"<answer>{text}</answer>"
        message = {"role": "assistant", "content": written}
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "stop"}
        if body.get("logprobs") and self.logprobs:
            choice["logprobs"] = {"content": steps}
        usage = {"prompt_tokens": words, "completion_tokens": len(steps), "total_tokens": words + len(steps)}
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}

    def tokens(self, text: str) -> list[int]:
        """Of a text, as the length of what was begun counts."""
        if all(character in SYMBOLS for character in text):
            return [SYMBOLS.index(character) for character in text]
        return [20] * len(text)


def _area(picture: str) -> int:
    """Pixels of a PNG in base64."""
    head = base64.b64decode(picture[:32])
    return int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big")


@contextmanager
def running(fake: FakeVllm) -> Iterator[str]:
    """The address of a server that behaves so."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def _answer(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self._answer(200, {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}]})
            elif self.path == "/version" and fake.version:
                self._answer(200, {"version": fake.version})
            else:
                self._answer(404, {"detail": "Not Found"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v1/chat/completions":
                self._answer(*fake.chat(body))
            elif self.path == "/tokenize" and fake.tokenises:
                self._answer(200, {"tokens": fake.tokens(body["prompt"])})
            else:
                self._answer(404, {"detail": "Not Found"})

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
