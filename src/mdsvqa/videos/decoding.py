"""From a video file to a clip: frames picked by timestamp, seeking where that is cheaper.

The packets are read first, without decoding: they say when each frame is shown and where decoding can start, so the
frames to take are known before the first is decoded. A second look at files whose packets promise frames that do not
come (damage, frames that are never shown, made-up timestamps) decodes everything and picks from what came out.

Where every group of pictures holds a wanted frame, seeking spares nothing. What can be spared there without touching a
pixel of the wanted frames is the decoding of H.264 pictures that no other picture refers to (about half of them, as
x264 writes them), and the conversion of all the others to RGB.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.workers import map_ahead
from mdsvqa.videos.about import NOTHING, about_file, about_frame, has_padding, pixel_shape, squared_size
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.colour import picture_channels
from mdsvqa.videos.deinterlacing import deinterlaced
from mdsvqa.videos.films import Film, open_film
from mdsvqa.videos.frame_times import Sampling, decode_runs, pick_frames, reduced_size
from mdsvqa.videos.packets import WHOLE, Packets, read_packets
from mdsvqa.videos.probing import (
    DECODING_ERRORS,
    Undecodable,
    VideoInfo,
    decoder_of,
    display_rotation,
    open_video,
    probe,
)
from mdsvqa.videos.video import RawFormat, Video

__all__ = ["Sampling", "Undecodable", "VideoInfo", "decode_all", "map_ahead", "probe", "sample_clip"]

Pictures = NDArray[np.uint8]
# Its syntax says of each picture whether any other refers to it (nal_ref_idc, ITU-T H.264, 7.4.1). HEVC says so only
# within a temporal sub-layer; other codecs do not say, or FFmpeg does not look.
_TELLS_UNREFERENCED = "h264"


def sample_clip(
    path: Path, id: str, sampling: Sampling, *, threads: int = 1, spare: bool = True, raw: RawFormat | None = None
) -> Clip:
    """Decodes the frames of a video that a sampling asks for.

    Each frame is the one on screen at a wanted time, or of a wanted number (see `pick_frames`); times count from the
    first frame. A video with fewer frames than asked gives those it has, none twice. Frames are RGB by the matrix and
    range that the file states (BT.601 when it is silent, as in FFmpeg), upright by its rotation, of square pixels, over
    black where they are transparent. HDR and interlaced ones are as they are stored, unless `Sampling.view` says else.

    A file is truncated when its packets cover less than 95% of the duration that its header states, and damaged when
    a wanted frame does not come and the decoder refuses more than 5% of the packets or covers less than 95% of
    their duration. Formats that state no duration (transport and raw streams) are taken for as long as they are.

    Args:
        path: of the file.
        id: of the video.
        sampling: how many frames, and how large.
        threads: for decoding, 0 for one a core.
        spare: whether to pass over packets that no wanted frame needs. The frames are the same either way.
        raw: the format of a raw video.

    Raises:
        Undecodable: the file gives no frames, or is truncated or damaged.
    """
    film = open_film(path, raw)
    if film is not None:
        return _film_clip(film, id, sampling)
    with open_video(path, threads) as (container, stream):
        packets = read_packets(path, container, stream)
    if packets.pts is not None:
        picks = pick_frames(packets.times, packets.duration, sampling, packets.rate)
        wanted = [int(time) for time in np.sort(packets.pts)[picks]]
        ways = [(False, [(0, wanted)])]
        # Deinterlacing looks at the frames around the wanted ones.
        if spare and sampling.view.deinterlace == "none":
            runs = decode_runs(packets.pts, packets.keyframe, wanted)
            # Each can miss: a frame may be two packets of one field each, indices of transport streams are guesses.
            ways = [(True, runs), (False, runs), *ways]
        for sparing, runs in ways:
            printer = _decode_runs(path, packets.pts, runs, sampling, threads, sparing)
            if len(printer) == len(wanted):
                return _clip(id, packets.times, packets.duration, picks, printer)
    return _second_look(path, id, packets, sampling, threads)


def decode_all(
    videos: Iterable[Video], sampling: Sampling, workers: int = 0
) -> Iterator[tuple[Video, Clip | Undecodable]]:
    """Decodes many videos ahead of whoever reads the clips.

    Args:
        videos: in any number; a video without path is undecodable.
        sampling: see `sample_clip`.
        workers: processes to decode in, each with one thread; 0 or 1 decodes in this process.

    Yields:
        Each video with its clip, or with why there is none, in the order of the videos.
    """
    videos = list(videos)
    clips = map_ahead(partial(decode_video, sampling=sampling), videos, workers, crashed=_decoder_crashed)
    return zip(videos, clips, strict=True)


def decode_video(video: Video, sampling: Sampling) -> Clip | Undecodable:
    """The clip of a video of a manifest, or why there is none; see `sample_clip`."""
    if video.path is None:
        return Undecodable(video.id, "the manifest gives no path")
    # Before: a file that changes while it is read is seen to have changed by the next run.
    file = about_file(video.path)
    try:
        clip = sample_clip(video.path, video.id, sampling, raw=video.raw)
    except Undecodable as reason:
        return reason
    return replace(clip, about=clip.about.of(file))


def _film_clip(film: Film, id: str, sampling: Sampling) -> Clip:
    picks = pick_frames(film.times, film.duration, sampling)
    printer = _Printer(len(picks), sampling)
    try:
        for frame in film.frames(picks.tolist()):
            printer.take(frame)
    except DECODING_ERRORS as error:
        raise Undecodable(film.path, f"damaged: {error}") from error
    return _clip(id, film.times, film.duration, picks, printer)


def _decoder_crashed(video: Video) -> Clip | Undecodable:
    return Undecodable(video.path or video.id, "decoder crashed")


@dataclass
class _Tally:
    """How many packets a decoder was fed, and how many of them it refused."""

    fed: int = 0
    refused: int = 0


class _Printer:
    """Turns decoded frames into pictures of one size, that of the first, in one array."""

    def __init__(self, count: int, sampling: Sampling) -> None:
        self._count = count
        self._sampling = sampling
        self._reformatter = VideoReformatter()
        self._size = (0, 0)
        self._room: Pictures = np.empty((0, 3, 0, 0), np.uint8)
        self._taken = 0
        self._sar: Fraction | None = None
        self._interlaced = self._opaque = False
        self.about = NOTHING

    def shown(self, stream: VideoStream, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """The frames of a stream as they are to be shown; says to `about` what they are."""
        self._sar, self._opaque = pixel_shape(stream), has_padding(stream)
        frames = self._watched(frames)
        if self._sampling.view.deinterlace == "none" or stream.time_base is None:
            return frames
        return deinterlaced(frames, stream.time_base)

    def _watched(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        for frame in frames:
            self._interlaced = self._interlaced or bool(frame.interlaced_frame)
            yield frame

    def __len__(self) -> int:
        return self._taken

    @property
    def pictures(self) -> Pictures:
        """Those taken so far as uint8 RGB of shape (T, 3, H, W), reduced and upright."""
        return self._room[: self._taken]

    def take(self, frame: VideoFrame) -> None:
        """Adds the picture of a frame; there is room for as many as were announced."""
        turns = display_rotation(frame) // 90
        if not self._taken:
            # A stream may change its resolution on the way; a clip has one.
            sar = self._sar if self._sampling.sar == "square" else None
            self._size = reduced_size(*squared_size(frame.width, frame.height, sar), self._sampling)
            self.about = about_frame(frame, self._sar, turns * 90)
            width, height = self._size if turns % 2 == 0 else self._size[::-1]
            # Filled in place: stacking the pictures of a long clip would need their memory twice.
            self._room = np.empty((self._count, 3, height, width), np.uint8)
        channels = picture_channels(self._reformatter, frame, *self._size, self._sampling.view, opaque=self._opaque)
        for place, channel in zip(self._room[self._taken], channels, strict=True):
            place[:] = np.rot90(channel, turns)
        self._taken += 1
        self.about = replace(self.about, interlaced=self._interlaced)


def _frames(stream: VideoStream, packets: Iterable["Packet[VideoStream]"], tally: _Tally) -> Iterator[VideoFrame]:
    """Frames in order of display; packets that the decoder refuses are counted and passed over."""
    decode = decoder_of(stream)
    try:
        for packet in packets:
            tally.fed += packet.size > 0
            try:
                frames = decode(packet)
            except DECODING_ERRORS:
                tally.refused += packet.size > 0
                continue
            yield from frames
    except DECODING_ERRORS:
        # The file broke off; the decoder still holds frames.
        with suppress(*DECODING_ERRORS):
            yield from decode(None)


def _decode_runs(
    path: Path,
    pts: Ints,
    runs: Sequence[tuple[int, list[int]]],
    sampling: Sampling,
    threads: int,
    sparing: bool,
) -> _Printer:
    """Pictures of the wanted times of some runs (see `decode_runs`); fewer when one cannot be reached.

    Sparing, it passes over pictures that nothing refers to, and gives up at interlaced frames: the second field of
    a wanted one may be a packet of its own that looks unwanted.
    """
    printer = _Printer(sum(len(wanted) for _, wanted in runs), sampling)
    with open_video(path, threads) as (container, stream):
        sparing = sparing and stream.codec_context.name == _TELLS_UNREFERENCED
        for start, wanted in runs:
            source = _packets_from(container, stream, pts, start) if start else container.demux(stream)
            missing = set(wanted)
            if sparing:
                source = _without_unreferenced(stream, source, frozenset(wanted))
            for frame in printer.shown(stream, _frames(stream, source, _Tally())):
                if sparing and frame.interlaced_frame:
                    break
                if frame.pts is not None and frame.pts in missing:
                    missing.remove(frame.pts)
                    printer.take(frame)
                if frame.pts is not None and frame.pts >= wanted[-1]:
                    break
            if missing:
                break
    return printer


def _without_unreferenced(
    stream: VideoStream, packets: Iterable["Packet[VideoStream]"], wanted: frozenset[int]
) -> Iterator["Packet[VideoStream]"]:
    """Packets of which the decoder skips those that no other refers to, unless they are shown at a wanted time."""
    for packet in packets:
        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        yield packet


def _packets_from(
    container: InputContainer, stream: VideoStream, pts: Ints, start: int
) -> Iterator["Packet[VideoStream]"]:
    """Packets from a keyframe on, none when seeking lands behind it."""
    passed = {int(time) for time in pts[start + 1 :]}
    container.seek(int(pts[start]), stream=stream)
    packets = container.demux(stream)
    for packet in packets:
        if packet.pts == pts[start]:
            yield packet
            yield from packets
        if packet.pts in passed:
            return


def _second_look(path: Path, id: str, packets: Packets, sampling: Sampling, threads: int) -> Clip:
    """A clip from what decoding the whole file gives, where its packets do not tell."""
    nothing = np.array([], dtype=np.intp)
    picks = pick_frames(packets.times, packets.duration, sampling, packets.rate) if packets.pts is None else nothing
    shown, printer = _decode_whole(path, packets, picks, sampling, threads)
    if packets.pts is None and len(shown) == len(packets.times):
        return _clip(id, packets.times, packets.duration, picks, printer)
    times, duration = _times_shown(shown, packets)
    picks = pick_frames(times, duration, sampling, packets.rate)
    return _clip(id, times, duration, picks, _decode_whole(path, packets, picks, sampling, threads)[1])


def _decode_whole(
    path: Path, packets: Packets, picks: NDArray[np.intp], sampling: Sampling, threads: int
) -> tuple[list[int | None], _Printer]:
    """Presentation time of every frame that comes out, and the pictures of those at some places in that order."""
    tally = _Tally()
    shown: list[int | None] = []
    wanted = set(picks.tolist())
    printer = _Printer(len(picks), sampling)
    with open_video(path, threads) as (container, stream):
        for number, frame in enumerate(printer.shown(stream, _frames(stream, container.demux(stream), tally))):
            shown.append(frame.pts)
            if number in wanted:
                printer.take(frame)
        codec = stream.codec_context.name
    if not shown:
        raise Undecodable(path, f"no frame could be decoded (codec {codec})")
    if tally.refused > (1 - WHOLE) * tally.fed:
        raise Undecodable(path, f"damaged: the decoder refused {tally.refused} of {tally.fed} packets")
    _, duration = _times_shown(shown, packets)
    if packets.pts is not None and duration < WHOLE * packets.duration:
        raise Undecodable(path, f"damaged: {duration:.2f} s of {packets.duration:.2f} s can be decoded")
    return shown, printer


def _times_shown(shown: Sequence[int | None], packets: Packets) -> tuple[Floats, float]:
    """Start of each frame that came out in seconds from the first, and the end of the last."""
    frame = packets.duration / len(packets.times)
    known = np.array([time for time in shown if time is not None], dtype=np.int64)
    if packets.pts is not None and len(known) == len(shown) and (np.diff(known) > 0).all():
        times = (known - known[0]) * float(packets.tick)
    else:
        times = np.arange(len(shown)) * frame
    return times, float(times[-1] + frame)


def _clip(id: str, times: Floats, duration: float, picks: NDArray[np.intp], printer: _Printer) -> Clip:
    return Clip(id, printer.pictures, times[picks], len(times) / duration, duration, printer.about)
