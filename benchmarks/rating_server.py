"""200 raters at once on a rating server of this machine: how long a vote takes to be safe, and what five kills leave.

    python benchmarks/rating_server.py --json rating_server.json

Each rater votes every two seconds while 20 connections fetch clips of 3 MB, as fast as they come. Then the server is
killed (SIGKILL) five times under that load and started again, while every rater repeats a vote until it is answered.
Clips are hard links of a few noisy files, so that 120 videos need no room; everything goes over 127.0.0.1 by HTTP/1.1
with connections that stay. Votes come from one process beside the server's, and the clips go to another, so that a vote
is not timed while its own process is taking in a clip.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

VIDEOS, FILES, SECONDS, RATE = 120, 3, 1.6, 25
BETWEEN = 2.0
# Of noise this encoder makes 1.44 times the bytes that it is asked for.
OVERSHOT = 1 / 1.44


def write_noise(path: Path, megabytes: float, seed: int) -> None:
    """An H.264 file of about so many megabytes."""
    rng, frames = np.random.default_rng(seed), round(SECONDS * RATE)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        options = {"preset": "ultrafast", "b": str(round(OVERSHOT * megabytes * 8e6 / SECONDS)), "nal-hrd": "cbr"}
        stream: Any = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.bit_rate = round(OVERSHOT * megabytes * 8e6 / SECONDS)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (360, 640), np.uint8), format="gray")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))


Answer = tuple[int, dict[str, str], bytes]


class Connection:
    """An HTTP/1.1 connection that stays, and comes back when the server does."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, headers: str = "", body: Any = None) -> Answer:
        """Status, headers and body of an answer; raises OSError where none came."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.reader is not None
        content = b"" if body is None else json.dumps(body).encode()
        here = f"127.0.0.1:{self.port}"
        head = f"{method} {path} HTTP/1.1\r\nHost: {here}\r\nOrigin: http://{here}\r\n{headers}"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        try:
            self.writer.write(head.encode() + b"\r\n" + content)
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(": ") for line in lines[1:] if ": " in line)
            found = {name.lower(): value for name, _, value in pairs}
            answer = await self.reader.readexactly(int(found.get("content-length", 0)))
            return int(lines[0].split()[1]), found, answer
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            raise OSError(str(error)) from None

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


class Rater:
    """A page that plays without a screen."""

    def __init__(self, port: int, link: str) -> None:
        self.connection, self.link = Connection(port), link
        self.cookie, self.token = "", ""
        self.page: dict[str, Any] = {}
        self.answered: set[str] = set()
        self.sent: set[str] = set()
        self.times: list[float] = []
        self.refused: Counter[str] = Counter()

    @property
    def headers(self) -> str:
        return f"Cookie: {self.cookie}\r\nX-Token: {self.token}\r\n"

    async def post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Asks until there is an answer, as the page does."""
        while True:
            try:
                status, _, content = await self.connection.ask("POST", path, self.headers, body)
                if status < 500 and status != 429:
                    return status, json.loads(content)
            except OSError:
                pass
            await asyncio.sleep(0.3)

    async def arrive(self) -> None:
        """Opens the link and goes to the first slot."""
        eligible = {"link": self.link, "browser": secrets.token_hex(16)}
        _, found, _ = await self.connection.ask("POST", "/api/open", "", eligible)
        self.cookie = found["set-cookie"].split(";")[0]
        _, _, content = await self.connection.ask("GET", "/api/state", self.headers)
        self.token = json.loads(content)["token"]
        steps: list[tuple[str, dict[str, Any]]] = [("consent", {}), ("instructions", {}), ("check", {"failed": []})]
        for path, body in steps:
            _, self.page = await self.post(f"/api/{path}", body)

    async def vote(self) -> None:
        """One vote on the slot that the rater is at."""
        key = secrets.token_hex(12)
        plays = [
            {
                "side": side, "reached": clip["duration"], "total": clip["frames"], "dropped": 0,
                "watching": clip["duration"], "shown_width": clip["width"], "shown_height": clip["height"],
            }
            for side, clip in enumerate(self.page["clips"])
        ]  # fmt: skip
        self.sent.add(key)
        began = time.perf_counter()
        status, said = await self.post(
            "/api/vote", {"key": key, "slot": self.page["slot"], "value": random.randint(1, 5), "plays": plays}
        )
        self.times.append(time.perf_counter() - began)
        if status == 200:
            self.answered.add(key)
            self.page = said
        else:
            self.sent.discard(key)
            self.refused[str(said.get("error"))] += 1


class Server:
    """`mdsvqa label serve` in a process of its own."""

    def __init__(self, videos: Path, port: int, log: Path) -> None:
        self.videos, self.port, self.log = videos, port, log
        self.process: subprocess.Popen[str] | None = None

    def start(self, raters: int = 0) -> list[str]:
        """Starts it, and waits until it answers; the links of new raters."""
        command = [sys.executable, "-m", "mdsvqa", "label", "serve", str(self.videos), "--json", "--workers", "1"]
        command += ["--port", str(self.port), "--raters", str(raters), "--set", "sessions=1", "--set", "trap_every=0"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if not said:
            raise SystemExit(f"the server did not start; see {self.log}")
        return [each["link"].rpartition("/")[2] for each in json.loads(said)["links"]]

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def memory(self) -> float:
        """Resident memory in MB."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


async def voting(rater: Rater, until: float) -> None:
    """A vote every two seconds, from a moment of one's own on."""
    following = time.monotonic() + random.random() * BETWEEN
    while rater.page["page"] == "slot" and following < until:
        await asyncio.sleep(max(0.0, following - time.monotonic()))
        await rater.vote()
        following = max(following + BETWEEN, time.monotonic() + SECONDS)


def fetch(port: int, clips: list[tuple[str, dict[str, str]]], stop: Any, counts: Any) -> None:
    """Clips one after the other on each of some connections, until `stop` is set; counts clips and bytes."""

    def fetching(source: str, headers: dict[str, str], buffer: memoryview) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not stop.is_set():
            try:
                connection.request("GET", source, headers=headers)
                answer, size = connection.getresponse(), 0
                while found := answer.readinto(buffer):
                    size += found
                with counts.get_lock():
                    counts[0] += answer.status == 200
                    counts[1] += size
            except (OSError, http.client.HTTPException):
                connection.close()
                time.sleep(0.3)
        connection.close()

    threads = [threading.Thread(target=fetching, args=(*each, memoryview(bytearray(1 << 20)))) for each in clips]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


@contextmanager
def downloads(raters: list[Rater]) -> Iterator[Any]:
    """Connections of some raters that fetch clips all the while; gives how many and their bytes."""
    context = multiprocessing.get_context("spawn")
    stop, counts = context.Event(), context.Array("q", 2)
    clips = [(rater.page["clips"][0]["source"], {"Cookie": rater.cookie}) for rater in raters]
    process = context.Process(target=fetch, args=(raters[0].connection.port, clips, stop, counts)) if raters else None
    if process is not None:
        process.start()
    try:
        yield counts
    finally:
        stop.set()
        if process is not None:
            process.join()


async def load(raters: list[Rater], seconds: float, fetchers: int) -> dict[str, Any]:
    """All raters for some seconds; figures of their votes."""
    for rater in raters:
        rater.times.clear()
    watching = [rater for rater in raters if rater.page["page"] == "slot"]
    with downloads(watching[:fetchers]) as counts:
        # The process that fetches takes a moment to begin.
        while fetchers and not counts[0]:
            await asyncio.sleep(0.05)
        before, had = os.getloadavg()[0], counts[1]
        await asyncio.gather(*(voting(rater, time.monotonic() + seconds) for rater in raters))
        clips, megabytes = counts[0], (counts[1] - had) / 1e6
    times = np.array([value for rater in raters for value in rater.times])
    return {
        "votes": len(times),
        "fetched_clips": clips,
        "fetched_mb_per_s": round(megabytes / seconds, 1),
        "load_average": [round(before, 2), round(os.getloadavg()[0], 2)],
        **{f"p{q}_ms": round(1000 * float(np.percentile(times, q)), 1) for q in (50, 95, 99)},
        "most_ms": round(1000 * float(times.max()), 1),
        "refused": dict(sum((rater.refused for rater in raters), Counter[str]())),
    }


async def measure(server: Server, links: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    raters = [Rater(server.port, link) for link in links]
    began = time.monotonic()
    await asyncio.gather(*(rater.arrive() for rater in raters))
    arrived = time.monotonic() - began
    alone = await load(raters, arguments.seconds / 2, 0)
    both = await load(raters, arguments.seconds, 20)
    memory = server.memory()

    async def kills() -> None:
        for _ in range(arguments.kills):
            await asyncio.sleep(1 + 2 * random.random())
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)

    deaths = asyncio.create_task(kills())
    # Until the last restart is through, and a little longer.
    while not deaths.done():
        await load(raters, 4.0, 20)
    await load(raters, 4.0, 0)
    await deaths
    return {"arrive_s": round(arrived, 1), "votes_alone": alone, "with_clips": both, "memory_mb": round(memory),
            **kept(server, raters)}  # fmt: skip


def kept(server: Server, raters: list[Rater]) -> dict[str, Any]:
    """Every answered vote is there, once, and every unanswered one arrived when it was repeated."""
    place = server.videos.parent / f"{server.videos.name}-rating" / "votes.sqlite"
    with sqlite3.connect(place) as connection:
        keys = [row[0].partition(":")[2] for row in connection.execute("SELECT key FROM votes")]
    answered = set().union(*(rater.answered for rater in raters))
    sent = set().union(*(rater.sent for rater in raters))
    counted = Counter(keys)
    return {
        "votes_kept": len(keys),
        "answered": len(answered),
        "answered_but_missing": len(answered - set(keys)),
        "sent_but_missing": len(sent - set(keys)),
        "kept_twice": sum(count > 1 for count in counted.values()),
        "kept_but_never_sent": len(set(keys) - sent),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raters", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=3.0)
    parser.add_argument("--port", type=int, default=8438)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        for number in range(FILES):
            write_noise(Path(folder) / f"{number}.mp4", arguments.megabytes, number)
        for number in range(VIDEOS):
            (videos / f"{number:03d}.mp4").hardlink_to(Path(folder) / f"{number % FILES}.mp4")
        size = sum(file.stat().st_size for file in videos.iterdir()) / VIDEOS / 1e6
        server = Server(videos, arguments.port, Path(folder) / "server.log")
        try:
            links = server.start(arguments.raters)
            found = asyncio.run(measure(server, links, arguments))
        finally:
            if server.process is not None:
                server.process.kill()
            sys.stderr.write((Path(folder) / "server.log").read_text(encoding="utf-8")[-2000:])
    result = {"raters": arguments.raters, "clip_mb": round(size, 2), "cores": os.cpu_count(), **found}
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
