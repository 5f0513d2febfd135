"""From a video file to a clip: frames picked by timestamp, seeking where that is cheaper.

The packets are read first, without decoding: they say when each frame is shown and where decoding can start, so the
frames to take are known before the first is decoded. A second look at files whose packets promise frames that do not
come (damage, frames that are never shown, made-up timestamps) decodes everything and picks from what came out.

Where every group of pictures holds a wanted frame, seeking spares nothing. What can be spared there without touching a
pixel of the wanted frames is the decoding of H.264 pictures that no other picture refers to (about half of them, as
x264 writes them), and the conversion of all the others to RGB.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import dropwhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mdsvqa.runtime.arrays import Ints
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.videos.about import NOTHING, about_frame, has_padding, pixel_shape, squared_size
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.colour import picture_channels
from mdsvqa.videos.cropping import Cropper, Part
from mdsvqa.videos.deinterlacing import deinterlaced
from mdsvqa.videos.films import Film, open_film
from mdsvqa.videos.frame_times import Sampling, centre, decode_runs, frames_asked, pick_frames, reduced_size
from mdsvqa.videos.local_files import local_file
from mdsvqa.videos.orientation import Orientations
from mdsvqa.videos.packets import WHOLE, Packets, read_packets
from mdsvqa.videos.probing import DECODING_ERRORS, Undecodable, VideoInfo, decoder_of, open_video, probe
from mdsvqa.videos.time_line import TimeLine, time_line
from mdsvqa.videos.video import RawFormat, Video

__all__ = ["Sampling", "Undecodable", "VideoInfo", "decode_all", "map_in_workers", "probe", "sample_clip"]

Pictures = NDArray[np.uint8]
# Its syntax says of each picture whether any other refers to it (nal_ref_idc, ITU-T H.264, 7.4.1). HEVC says so only
# within a temporal sub-layer; other codecs do not say, or FFmpeg does not look.
_TELLS_UNREFERENCED = "h264"
# Of the frames asked for, the share below which a note says why there are no more.
_FEW = 0.5


def sample_clip(
    path: Path, id: str, sampling: Sampling, *, threads: int = 1, spare: bool = True, raw: RawFormat | None = None
) -> Clip:
    """Decodes the frames of a video that a sampling asks for.

    Each frame is the one on screen at a wanted time, or of a wanted number (see `pick_frames`); times count from the
    first frame. A video with fewer frames than asked gives those it has, none twice. Frames are RGB by the matrix and
    range that the file states (BT.601 when it is silent, as in FFmpeg), upright by its display matrix, of square
    pixels, over black where they are transparent. HDR and interlaced ones are as they are stored, unless
    `Sampling.view` says else. Where the picture's size changes on the way, all have the one that is shown longest.

    A frame whose time stamp is damaged is never taken; the others keep their times (see `time_line`).

    A file is truncated when it was cut off and its packets cover less than 95% of what it says of its length, and
    damaged when a wanted frame does not come and the decoder refuses more than 5% of the packets or covers less than
    95% of their duration. Formats that state no duration (transport and raw streams) are taken for as long as they are.

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
        line = TimeLine(packets.times, packets.duration)
        picks = pick_frames(packets.times, packets.duration, sampling, packets.rate)
        wanted = np.sort(packets.pts[packets.shown])[picks].tolist()
        ways = [(False, [(0, wanted)])]
        if spare:
            runs = decode_runs(packets.pts, packets.keyframe, packets.shown, wanted)
            # Each can miss: a frame may be two packets of one field each, indices of transport streams are guesses.
            # Deinterlacing looks at the frames around the wanted ones, also before the start of a run.
            runs_alone = [] if sampling.view.deinterlace != "none" else [(False, runs)]
            ways = [(True, runs), *runs_alone, *ways]
        for sparing, runs in ways:
            printer = _decode_runs(path, packets, runs, sampling, threads, sparing)
            if len(printer.shapes) > 1:
                break
            if len(printer) == len(wanted):
                return _clip(id, line, picks, printer, sampling, packets.damaged)
    return _second_look(path, id, packets, sampling, threads)


def decode_all(
    videos: Iterable[Video], sampling: Sampling, workers: int = 0, map: Callable[..., Iterator[Any]] | None = None
) -> Iterator[tuple[Video, Clip | Undecodable]]:
    """Decodes many videos ahead of whoever reads the clips.

    Args:
        videos: in any number; a video without path is undecodable.
        sampling: see `sample_clip`.
        workers: processes to decode in, each with one thread; 0 or 1 decodes in this process.
        map: in place of `map_in_workers` with these.

    Yields:
        Each video with its clip, or with why there is none, in the order of the videos.
    """
    videos = list(videos)
    apply = map or partial(map_in_workers, workers=workers)
    clips: Iterator[Clip | Undecodable] = apply(
        partial(decode_video, sampling=sampling), videos, crashed=_decoder_crashed
    )
    return zip(videos, clips, strict=True)


def decode_video(video: Video, sampling: Sampling) -> Clip | Undecodable:
    """The clip of a video of a manifest, or why there is none; see `sample_clip`."""
    if video.path is None:
        return Undecodable(video.id, "the manifest gives no path")
    try:
        with local_file(video.path, video.id) as file:
            clip = sample_clip(file.path, video.id, sampling, raw=video.raw)
    except Undecodable as reason:
        return reason
    return replace(clip, about=clip.about.of(file.about))


def _film_clip(film: Film, id: str, sampling: Sampling) -> Clip:
    picks = pick_frames(film.times, film.duration, sampling)
    printer = _Printer(len(picks), sampling)
    try:
        for frame in film.frames(picks.tolist()):
            printer.take(frame)
    except DECODING_ERRORS as error:
        raise Undecodable(film.path, f"damaged: {error}") from error
    return _clip(id, TimeLine(film.times, film.duration), picks, printer, sampling)


def _decoder_crashed(video: Video) -> Clip | Undecodable:
    return Undecodable(str(video.path or video.id), "decoder crashed")


@dataclass
class _Tally:
    """How many packets a decoder was fed, and how many of them it refused."""

    fed: int = 0
    refused: int = 0


class _Shape(NamedTuple):
    """Width and height of a picture as it is stored, and whether it is shown on its side."""

    width: int
    height: int
    sideways: bool


class _Printer:
    """Turns decoded frames into pictures of one size in one array.

    Args:
        count: of the pictures; there is room for no more.
        sampling: how large they are, and what is kept of each.
        shape: of the frames that give the size; None for the first.
    """

    def __init__(self, count: int, sampling: Sampling, shape: _Shape | None = None) -> None:
        self._count = count
        self._sampling = sampling
        self._shape = shape
        self._reformatter = VideoReformatter()
        self._cropper = Cropper()
        self._orientations = Orientations()
        self._size = (0, 0)
        self._room: Pictures = np.empty((0, 3, 0, 0), np.uint8)
        self._taken = 0
        self.shapes: set[_Shape] = set()
        self._sar: Fraction | None = None
        self.interlaced = self._opaque = False
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
            self.interlaced = self.interlaced or bool(frame.interlaced_frame)
            yield frame
            del frame

    def __len__(self) -> int:
        return self._taken

    @property
    def pictures(self) -> Pictures:
        """Those taken so far as uint8 RGB of shape (T, 3, H, W), reduced and upright."""
        return self._room[: self._taken]

    def see(self, frame: VideoFrame) -> _Shape:
        """Notes the shape of a frame that comes by."""
        shape = _Shape(frame.width, frame.height, self._orientations.of(frame).sideways)
        self.shapes.add(shape)
        return shape

    def take(self, frame: VideoFrame) -> None:
        """Adds the picture of a frame; there is room for as many as were announced."""
        orientation = self._orientations.of(frame)
        shape = self._shape or self.see(frame)
        if not self._taken:
            self._shape = shape
            sar = self._sar if self._sampling.sar == "square" else None
            width, height = reduced_size(*squared_size(shape.width, shape.height, sar), self._sampling)
            self._size = (height, width) if shape.sideways else (width, height)
            self._rows, self._columns = (centre(side, self._sampling.window) for side in self._size[::-1])
            self.about = about_frame(frame, self._sar, 90 * orientation.turns)
            # Filled in place: stacking the pictures of a long clip would need their memory twice.
            kept = [part.stop - part.start for part in (self._rows, self._columns)]
            self._room = np.empty((self._count, 3, *kept), np.uint8)
        width, height = self._size[::-1] if orientation.sideways else self._size
        part = Part(*orientation.part_of(width, height, self._rows, self._columns))
        if (width, height) == (frame.width, frame.height):
            frame, part = self._cropper.crop(frame, part)
            width, height = frame.width, frame.height
        rows, columns = slice(part.top, part.top + part.height), slice(part.left, part.left + part.width)
        channels = picture_channels(self._reformatter, frame, width, height, self._sampling.view, opaque=self._opaque)
        for place, channel in zip(self._room[self._taken], channels, strict=True):
            place[:] = orientation.upright(channel[rows, columns])
        self._taken += 1
        self.about = replace(self.about, interlaced=self.interlaced)


def _frames(stream: VideoStream, packets: Iterable["Packet[VideoStream]"], tally: _Tally) -> Iterator[VideoFrame]:
    """Frames in order of display; packets that the decoder refuses are counted and passed over."""
    decode = decoder_of(stream)
    try:
        for packet in packets:
            tally.fed += packet.size > 0
            try:
                frames = list(decode(packet))
            except DECODING_ERRORS:
                tally.refused += packet.size > 0
                continue
            # What is not held on to here can be given back while the next one is decoded.
            while frames:
                yield frames.pop(0)
    except DECODING_ERRORS:
        # The file broke off; the decoder still holds frames.
        with suppress(*DECODING_ERRORS):
            yield from decode(None)


def _decode_runs(
    path: Path,
    packets: Packets,
    runs: Sequence[tuple[int, list[int]]],
    sampling: Sampling,
    threads: int,
    sparing: bool,
) -> _Printer:
    """Prints the wanted times of some runs (see `decode_runs`); fewer when one cannot be reached.

    Sparing, it passes over pictures that nothing refers to, and gives up at interlaced frames: the second field of
    a wanted one may be a packet of its own that looks unwanted, and deinterlacing needs the frames around it.
    """
    assert packets.pts is not None
    printer = _Printer(sum(len(wanted) for _, wanted in runs), sampling)
    place = {time: number for number, time in enumerate(packets.pts.tolist())} if len(runs) > 1 or runs[0][0] else {}
    with open_video(path, threads, packets.stream) as (container, stream):
        woven = sparing and sampling.view.deinterlace != "none"
        sparing = sparing and stream.codec_context.name == _TELLS_UNREFERENCED
        for start, wanted in runs:
            source = _packets_from(container, stream, packets.pts, place, start) if start else container.demux(stream)
            missing = set(wanted)
            if sparing:
                source = _without_unreferenced(stream, source, frozenset(wanted))
            for frame in printer.shown(stream, _frames(stream, source, _Tally())):
                printer.see(frame)
                if ((sparing or woven) and printer.interlaced) or len(printer.shapes) > 1:
                    break
                if frame.pts is not None and frame.pts in missing:
                    missing.remove(frame.pts)
                    printer.take(frame)
                if frame.pts is not None and frame.pts >= wanted[-1]:
                    break
                del frame
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
    container: InputContainer, stream: VideoStream, pts: Ints, place: Mapping[int, int], start: int
) -> Iterator["Packet[VideoStream]"]:
    """Packets from a keyframe on, none when seeking lands behind it."""
    container.seek(int(pts[start]), stream=stream)
    packets = container.demux(stream)
    for packet in packets:
        if packet.pts == pts[start]:
            yield packet
            yield from packets
        if packet.pts is not None and place.get(packet.pts, -1) > start:
            return


class _Came(NamedTuple):
    """What is kept of a frame that was decoded."""

    pts: int | None
    shape: _Shape


def _second_look(path: Path, id: str, packets: Packets, sampling: Sampling, threads: int) -> Clip:
    """A clip from what decoding the whole file gives, where its packets do not tell."""
    picks = np.array([], dtype=np.intp)
    # AVI and raw streams: nothing is wrong with them, most likely.
    counted = packets.pts is None and packets.ordered
    if counted:
        picks = pick_frames(packets.times, packets.duration, sampling, packets.rate)
    came, printer = _decode_whole(path, packets, picks, sampling, threads)
    line = _line_of(came, packets)
    shown = _seconds_shown(came, line)
    if counted and len(came) == len(packets.times) and len(shown) == 1:
        return _clip(id, line, picks, printer, sampling)
    good = np.flatnonzero(line.good)
    picks = pick_frames(line.times[good], line.duration, sampling, packets.rate)
    shape = max(shown, key=lambda one: shown[one])
    _, printer = _decode_whole(path, packets, good[picks], sampling, threads, shape)
    return _clip(id, line, picks, printer, sampling, resized=shape if len(shown) > 1 else None)


def _line_of(came: Sequence[_Came], packets: Packets) -> TimeLine:
    """When the frames that came are shown."""
    if packets.pts is None and packets.ordered:
        if len(came) == len(packets.times):
            return TimeLine(packets.times, packets.duration)
        mean = packets.duration / len(packets.times)
        return TimeLine(np.arange(len(came)) * np.float64(mean), len(came) * mean)
    return time_line([frame.pts for frame in came], float(packets.tick), packets.frame)


def _seconds_shown(came: Sequence[_Came], line: TimeLine) -> dict[_Shape, float]:
    """How long pictures of each shape are shown."""
    lengths = np.diff(np.append(line.times, line.duration))
    seconds = {frame.shape: 0.0 for frame in came}
    for frame, length in zip(came, lengths.tolist(), strict=True):
        if length > 0:  # not NaN
            seconds[frame.shape] += length
    return seconds


def _decode_whole(
    path: Path,
    packets: Packets,
    picks: NDArray[np.intp],
    sampling: Sampling,
    threads: int,
    shape: _Shape | None = None,
) -> tuple[list[_Came], _Printer]:
    """Every frame that comes out, and the pictures of those at some places in that order."""
    tally = _Tally()
    came: list[_Came] = []
    wanted = set(picks.tolist())
    printer = _Printer(len(picks), sampling, shape)
    with open_video(path, threads, packets.stream) as (container, stream):
        source: Iterator[Packet[VideoStream]] = container.demux(stream)
        if packets.keyframe.any():
            source = dropwhile(lambda packet: not packet.is_keyframe, source)
        for number, frame in enumerate(printer.shown(stream, _frames(stream, source, tally))):
            came.append(_Came(frame.pts, printer.see(frame)))
            if number in wanted:
                printer.take(frame)
            del frame
        codec = stream.codec_context.name
    if not came:
        raise Undecodable(path, f"no frame could be decoded (codec {codec})")
    if tally.refused > (1 - WHOLE) * tally.fed:
        raise Undecodable(path, f"damaged: the decoder refused {tally.refused} of {tally.fed} packets")
    duration = _line_of(came, packets).duration
    if packets.pts is not None and duration < WHOLE * packets.duration:
        raise Undecodable(path, f"damaged: {duration:.2f} s of {packets.duration:.2f} s can be decoded")
    return came, printer


def _clip(
    id: str,
    line: TimeLine,
    picks: NDArray[np.intp],
    printer: _Printer,
    sampling: Sampling,
    damaged: int = 0,
    resized: _Shape | None = None,
) -> Clip:
    """The clip of the picked ones among the good frames of a time line."""
    times = line.times[line.good]
    notes = []
    if damaged := damaged + line.damaged:
        notes.append(f"{damaged} of {len(times) + damaged} frames left out: their time stamps are damaged")
    if line.jumps:
        notes.append(f"the time stamps jump {line.jumps} times: the gaps are closed")
    if line.counted:
        notes.append("no order in the time stamps: frames are counted")
    if resized is not None:
        size = resized[:2][::-1] if resized.sideways else resized[:2]
        notes.append("the picture's size changes on the way: all of it is read at {}x{}".format(*size))
    asked = min(frames_asked(line.duration, sampling), len(times))
    if len(picks) < _FEW * asked:
        notes.append(f"{len(picks)} of {asked} frames: few of the file's {len(times)} are shown at those times")
    note = "; ".join(notes) or None
    return Clip(id, printer.pictures, times[picks], len(times) / line.duration, line.duration, printer.about, note)
