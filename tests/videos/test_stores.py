"""Videos in a store: the same tables as from disk, through 503s, kills and wrong keys, on a bounded part of a disk."""

import csv
import io
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from s3fs import S3FileSystem

from commands import ended
from mdsvqa.models.encoders.encoding import encode_content
from mdsvqa.models.settings import ContentSettings
from mdsvqa.models.statistical.extraction import extract_features
from mdsvqa.models.training.clip_cache import ClipCache
from mdsvqa.models.vlm.clips import VisualLimits
from mdsvqa.runtime.environment import SPOOL, SPOOL_RUN
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import Remote
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.spool import limit_spool, spool_folder
from mdsvqa.runtime.stores import StoreError
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_video
from mdsvqa.videos.files import check_files
from mdsvqa.videos.labels import write_label_request
from mdsvqa.videos.manifest import find_videos, load_videos, read_manifest, read_videos, write_manifest
from mdsvqa.videos.probe_table import probe_rows
from mdsvqa.videos.settings import ManifestSettings
from mdsvqa.videos.video import RawFormat, Video
from object_store import BUCKET, Store, files_of, s3_server, serving
from videos.films import film, flat
from videos.test_changed_files import Notes

CLIPS = f"s3://{BUCKET}/clips"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with s3_server(monkeypatch) as store:
        yield store


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    for name in (SPOOL, SPOOL_RUN):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield
    assert copies() == []


def copies() -> list[Path]:
    return [path for path in spool_folder().glob("*/*") if path.suffix]


def pool(folder: Path, count: int) -> Path:
    """Tiny videos of different lengths and levels."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 40, (count, 48, 64, 3), np.uint8)
    for n in range(count):
        film(folder / f"v{n:03}.mkv", [flat(n % 200) + noise[n] for _ in range(1 + n % 3)])
    return folder


def largest_spool(stop: Event, seen: list[int]) -> None:
    while not stop.is_set():
        total = 0
        for place, _, names in os.walk(spool_folder()):
            for name in names:
                try:
                    total += Path(place, name).stat().st_size
                except FileNotFoundError:
                    continue
        seen.append(total)
        time.sleep(0.002)


def same(here: pa.Table, there: pa.Table) -> bool:
    """Row for row, but for what says where a file is."""
    return here.drop_columns(["mtime", "etag"]).equals(there.drop_columns(["mtime", "etag"]))


def test_200_videos_through_a_store_that_is_busy_make_the_table_that_they_make_from_disk(
    s3: Store, tmp_path: Path
) -> None:
    folder = pool(tmp_path / "pool", 200)
    total = s3.fill(folder, "clips/")
    largest = max(path.stat().st_size for path in folder.iterdir())
    limit_spool(str(2 * largest))
    here = encode_content(find_videos(folder), ContentSettings(), Run(tmp_path / "here", workers=2))
    videos = load_videos(CLIPS)
    assert [video.id for video in videos] == [path.name for path in sorted(folder.iterdir())]
    stop, seen = Event(), list[int]()
    watch = Thread(target=largest_spool, args=(stop, seen))
    watch.start()
    s3.busy = 0.02
    s3.forget()
    there = encode_content(videos, ContentSettings(), Run(tmp_path / "there", workers=2))
    stop.set()
    watch.join()
    assert here.num_rows == 200
    assert set(there["status"].to_pylist()) == {"ok"}
    assert same(here, there)
    assert None not in there["etag"].to_pylist()
    assert there["mtime"].null_count == 200
    # One look and one copy each, and of a reply that did not come nothing but a few words.
    assert s3.refused > 0
    assert total <= s3.sent <= 1.05 * total
    assert 0 < max(seen) <= 2 * largest
    # A second run asks whether they have changed, and fetches none.
    s3.busy = 0.0
    s3.forget()
    assert encode_content(videos, ContentSettings(), Run(tmp_path / "there")).equals(there)
    assert s3.seen["GET"] <= 2
    assert s3.sent < 200 * 1000


def test_a_killed_run_goes_on_and_its_copies_go(s3: Store, tmp_path: Path) -> None:
    folder = pool(tmp_path / "pool", 80)
    s3.fill(folder, "clips/")
    out = tmp_path / "out"
    command = ["content", CLIPS, "--out", str(out), "--workers", "2"]
    run = subprocess.Popen([sys.executable, "-m", "mdsvqa", *command], stderr=subprocess.DEVNULL)
    while s3.seen["GET"] < 50:
        assert run.poll() is None
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    # Its workers end with it; one that died with a copy would leave it, as here.
    left = spool_folder() / "shared.5000.abcdefgh"
    left.mkdir()
    (left / "v000.mkv").write_bytes(b"x" * 5000)
    before = s3.seen["GET"]
    assert ended(*command[:-2], "--workers", "1") == 0
    assert not left.exists()
    assert same(encode_content(find_videos(folder), ContentSettings(), Run(tmp_path / "here")), read_table(out))
    # What was written is not fetched again: 32 rows at least.
    assert s3.seen["GET"] - before <= 80 - 32 + 2


def test_a_missing_object_is_undecodable_and_a_wrong_key_ends_the_run(
    s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pool(tmp_path / "pool", 3)
    s3.fill(folder, "clips/")
    manifest = tmp_path / "m.csv"
    rows = [*(f"{CLIPS}/v00{n}.mkv" for n in range(3)), f"{CLIPS}/none.mkv", f"{CLIPS}/empty.mkv"]
    s3.put("clips/empty.mkv", b"")
    manifest.write_text("path\n" + "".join(f"{row}\n" for row in rows))
    out = tmp_path / "out"
    assert ended("content", manifest, "--out", out, "--workers", "1") == 0
    said = {row["id"]: (row["status"], row["text"]) for row in read_table(out).to_pylist()}
    assert [said[f"v00{n}"] for n in range(3)] == [("ok", None)] * 3
    assert said["none"][0] == said["empty"][0] == "undecodable"
    assert said["none"][1].startswith("not in the store: ")
    assert said["empty"][1] == "empty file (0 bytes)"
    # It came, and is done at the next run.
    s3.put("clips/none.mkv", (folder / "v001.mkv").read_bytes())
    assert ended("content", manifest, "--out", out, "--workers", "1") == 0
    found = {row["id"]: row for row in read_table(out).to_pylist()}
    assert found["none"]["frames"] == found["v001"]["frames"]
    capsys.readouterr()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    S3FileSystem.clear_instance_cache()
    assert ended("content", manifest, "--out", tmp_path / "other", "--workers", "1") == 1
    error = capsys.readouterr().err
    assert f"s3://{BUCKET}: refuses {CLIPS}/v000.mkv (id 'v000')" in " ".join(error.split())
    assert "Traceback" not in error


def test_a_key_that_is_refused_on_the_way_ends_the_run_from_a_worker_too(s3: Store, tmp_path: Path) -> None:
    s3.fill(pool(tmp_path / "pool", 6), "clips/")
    videos, app = load_videos(CLIPS), s3.app

    def closed(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"].endswith("v004.mkv"):
            return s3._short(environ, start_response, "403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>")
        return app(environ, start_response)

    s3.app = closed
    for workers in (0, 2):
        with pytest.raises(StoreError, match=r"refuses s3://pool/clips/v004.mkv \(id 'v004.mkv'\)"):
            extract_features(videos, 2, Run(tmp_path / f"out-{workers}", workers=workers))


def test_an_object_with_another_etag_is_done_anew(s3: Store, tmp_path: Path) -> None:
    folder = pool(tmp_path / "pool", 4)
    s3.fill(folder, "clips/")
    videos, notes = load_videos(CLIPS), Notes()
    before = extract_features(videos, 2, Run(tmp_path / "out", notes)).to_pylist()
    # As many bytes as before, written at another time: only what is in it says that it is another one.
    changed = bytearray((folder / "v001.mkv").read_bytes())
    changed[-1] ^= 1
    s3.put("clips/v001.mkv", bytes(changed))
    s3.put("clips/v002.mkv", (folder / "v002.mkv").read_bytes())
    after = extract_features(videos, 2, Run(tmp_path / "out", notes)).to_pylist()
    assert "Features: 1 of 4 done anew, because their files changed since: v001.mkv" in notes.said
    assert [row["etag"] == old["etag"] for row, old in zip(after, before, strict=True)] == [True, False, True, True]
    # From a store to a disk, with the same ids and sizes: the rows stay.
    local = [Video(video.id, folder / video.id) for video in videos]
    notes.said.clear()
    extract_features(local, 2, Run(tmp_path / "out", notes))
    assert any("all 4 reused" in text for text in notes.said)


def test_a_clip_is_kept_by_size_and_etag(s3: Store, tmp_path: Path) -> None:
    folder = pool(tmp_path / "pool", 2)
    s3.fill(folder, "clips/")
    videos = load_videos(CLIPS)
    sight = VisualLimits(frames=2, rate=None, fewest_pixels=28 * 28)

    def filled() -> ClipCache:
        cache = ClipCache(tmp_path / "clips", sight)
        assert cache.fill(videos, 0, Silent()) == {}
        return cache

    first = filled()
    s3.forget()
    again = filled()
    assert again.load(videos[0]).frames.shape == first.load(videos[0]).frames.shape
    assert dict(s3.seen) == {"HEAD": 2}, "each is asked for once in a training, and none is fetched"
    film(tmp_path / "other.mkv", [flat(250)] * 2)
    s3.put("clips/v001.mkv", (tmp_path / "other.mkv").read_bytes())
    assert filled().name(videos[1]) != first.name(videos[1])
    assert filled().name(videos[0]) == first.name(videos[0])


def manifest_rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"c{n}", "path": f"../clips/v{n:03}.mkv", "mos": 1 + n % 5, "split": "train"} for n in range(count)]


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist([{**row, "features": [1.0] * 4} for row in rows])
    pq.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(("name", "made"), [("m.csv", as_csv), ("m.parquet", as_parquet)])
def test_a_manifest_that_lies_in_a_store(s3: Store, tmp_path: Path, name: str, made: Any) -> None:
    s3.put(f"lists/{name}", made(manifest_rows(5)))
    expected = [Video(f"c{n}", Remote(f"{CLIPS}/v{n:03}.mkv"), split="train", mos=1.0 + n % 5) for n in range(5)]
    assert read_videos(f"s3://{BUCKET}/lists/{name}") == expected
    assert load_videos(Path(f"s3://{BUCKET}/lists/{name}")) == expected
    # It can be written, and read again.
    write_manifest(tmp_path / "copy.csv", expected)
    assert read_manifest(tmp_path / "copy.csv") == expected
    write_label_request(tmp_path / "to_label.csv", expected)
    assert [video.path for video in read_manifest(tmp_path / "to_label.csv")] == [video.path for video in expected]


def test_names_without_paths_are_found_in_the_folder_of_the_videos(s3: Store, tmp_path: Path) -> None:
    s3.fill(pool(tmp_path / "pool", 3), "clips/")
    s3.put("clips/deep/w.mp4", b"abc")
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,mos\nv000,1\nv001.mkv,2\nw,3\nv009,4\n")
    found = read_videos(manifest, manifest=ManifestSettings.model_validate({"videos_folder": CLIPS}))
    assert [str(video.path) for video in found] == [
        f"{CLIPS}/v000.mkv",
        f"{CLIPS}/v001.mkv",
        f"{CLIPS}/deep/w.mp4",
        f"{CLIPS}/v009",
    ]
    # Beside a manifest in the store only what is called exactly so.
    s3.put("clips/m.csv", manifest.read_bytes())
    assert [video.path for video in read_videos(f"{CLIPS}/m.csv")] == [None, Remote(f"{CLIPS}/v001.mkv"), None, None]


def test_of_many_objects_some_are_asked_for_before_hours_of_work(s3: Store) -> None:
    s3.put("clips/a.mkv", b"abc")
    videos = [Video(str(n), Remote(f"{CLIPS}/a.mkv")) for n in range(10_000)]
    s3.forget()
    check_files(f"s3://{BUCKET}/m.csv", videos, Silent())
    assert s3.seen["HEAD"] == 16
    gone = [Video(str(n), Remote(f"{CLIPS}/none{n}.mkv")) for n in range(10_000)]
    with pytest.raises(
        InputError, match=r"m.csv: not one of 16 that were asked for is there; looked for s3://pool/clips"
    ):
        check_files(f"s3://{BUCKET}/m.csv", gone, Silent())
    notes = Notes()
    check_files("m.csv", [*videos[:8], *gone[8:16]], notes)
    assert notes.said == [f"m.csv: 8 of 16 files are not there, such as {CLIPS}/none8.mkv (id '8')"]


def test_raw_video_and_what_is_said_of_files_in_a_store(s3: Store, tmp_path: Path) -> None:
    picture = np.arange(64 * 48 * 3 // 2, dtype=np.uint8)
    s3.put("clips/a.yuv", picture.tobytes() * 3)
    raw = RawFormat(64, 48, "yuv420p", Fraction(30))
    videos = [Video("a", Remote(f"{CLIPS}/a.yuv"), raw=raw), Video("b", Remote(f"{CLIPS}/a.yuv"))]
    clip = decode_video(videos[0], Sampling(frames=3))
    assert isinstance(clip, Clip)
    assert clip.frames.shape == (3, 3, 48, 64)
    unknown = decode_video(videos[1], Sampling(frames=3))
    assert isinstance(unknown, Undecodable)
    assert str(unknown).startswith(f"{CLIPS}/a.yuv: raw video, and nothing says how large its pictures are")
    row, other = probe_rows(videos, 0)
    assert (row["width"], row["frames"], row["size"], row["mtime"]) == (64, 3, len(picture) * 3, None)
    assert len(row["etag"]) == 32
    assert other["status"] == "undecodable"


def test_http_and_https(tmp_path: Path) -> None:
    folder = pool(tmp_path / "pool", 3)
    with serving(Store(files_of(folder))) as store:
        store.busy, store.seed = 0.1, 3
        videos = [Video(f"v{n}", Remote(f"{store.address}/v00{n}.mkv?key=1")) for n in range(3)]
        there = extract_features(videos, 2, Run(tmp_path / "there"))
        here = extract_features([Video(f"v{n}", folder / f"v00{n}.mkv") for n in range(3)], 2, Run(tmp_path / "here"))
        assert same(here, there)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate = tmp_path / "certificate.pem"
    public = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate.write_bytes(public + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(Store(files_of(folder)), context) as store:
        (tmp_path / "m.csv").write_text(f"path\n{store.address}/v000.mkv\n{store.address}/none.mkv\n")
        command = [sys.executable, "-m", "mdsvqa", "probe", str(tmp_path / "m.csv"), "--json", "--workers", "1"]
        told = subprocess.run(
            command, env={**os.environ, "SSL_CERT_FILE": str(certificate)}, capture_output=True, check=True
        )
        found = json.loads(told.stdout)
        assert (found["videos"], found["ok"]) == (2, 1)
        assert found["rows"][1]["text"] == "not in the store: 404 Not Found"
        # A server that nobody vouches for ends the run.
        refused = subprocess.run(command, capture_output=True, check=False)
        assert refused.returncode == 1, refused.stderr
        assert b"cannot be reached" in refused.stderr
        assert b"certificate" in refused.stderr
