"""Clips that a study makes of its videos: traps, practice over the whole range of quality, the clip of the check."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mdsvqa.labeling.prepare.browsers import Look
from mdsvqa.labeling.prepare.copies import Converter, add_picture, shown_frames
from mdsvqa.runtime.errors import InputError

# Of a trap's duration: the sentence is there from and to.
SENTENCE = (0.3, 0.75)
# Practice clips made of good videos: CRF and share of the width and height that is left, from the best to the worst.
DEGRADED = {4: (30, 1.0), 3: (34, 0.5), 2: (36, 0.25), 1: (42, 0.125)}
_SIZE_STEPS = 6
_CRF = {"mp4": (4, 48), "webm": (4, 60)}
_CLOSE = 0.08
# Sound that a container of a kind holds as it is.
_SOUND = {"mp4": ("aac", "mp3", "opus", "flac"), "webm": ("opus", "vorbis")}
Change = Callable[[VideoFrame, int], VideoFrame]


def write_trap(look: Look, target: Path, sentence: str, font: Path | None = None, *, audio: bool = False) -> int:
    """A copy of a clip with a sentence in its middle: same length, size and container, and as many bytes.

    Args:
        look: at the clip as it is sent to browsers.
        target: of the trap, with the ending of the clip.
        sentence: that is written into it.
        font: for languages that the built-in one has no letters of.
        audio: whether its sound comes along, as it is.

    Returns:
        How many frames it has.
    """
    first, last = (share * look.frames for share in SENTENCE)
    letters = sentence_picture(sentence, look.width, look.height, font)

    def with_sentence(frame: VideoFrame, number: int) -> VideoFrame:
        if not first <= number <= last:
            return frame
        return _over(frame, letters)

    wanted = look.path.stat().st_size
    low, high = _CRF[look.kind]
    best: tuple[float, int] = (math.inf, low)
    for _ in range(_SIZE_STEPS):
        crf = (low + high) // 2
        write_changed(look, target, with_sentence, crf, audio=audio)
        found = target.stat().st_size
        off = abs(math.log(found / wanted))
        best = min(best, (off, crf))
        if off < _CLOSE or low >= high:
            break
        low, high = (crf + 1, high) if found > wanted else (low, crf - 1)
    if best[1] != crf:
        write_changed(look, target, with_sentence, best[1], audio=audio)
    _pad(target, look.kind, wanted)
    return look.frames


def _pad(target: Path, kind: str, wanted: int) -> None:
    """Brings a file up to a number of bytes by an empty box (MP4) or element (WebM) that players skip."""
    missing = wanted - target.stat().st_size
    if missing < 16:
        return
    if kind == "mp4":
        filling = missing.to_bytes(4, "big") + b"free" + bytes(missing - 8)
    else:
        # EBML Void: its number, then its size in eight bytes.
        filling = b"\xec" + (0x01 << 56 | (missing - 9)).to_bytes(8, "big") + bytes(missing - 9)
    with target.open("ab") as file:
        file.write(filling)


def write_degraded(look: Look, target: Path, level: int, *, audio: bool = False) -> int:
    """A copy of a clip at a lower level of quality, 1 to 4; at least so far below the original.

    Returns:
        How many frames it has.
    """
    crf, share = DEGRADED[level]
    small = max(16, round(look.width * share)), max(16, round(look.height * share))
    convert = Converter()

    def coarse(frame: VideoFrame, number: int) -> VideoFrame:
        even = convert(frame)
        return even if share == 1 else even.reformat(*small).reformat(even.width, even.height)

    return write_changed(look, target, coarse, crf, audio=audio)


def write_changed(look: Look, target: Path, change: Change, crf: int, *, audio: bool = False) -> int:
    """Writes the frames of a clip, each changed, with the codec of its container; with its sound, as it is, on wish."""
    temporary = target.with_name(f"{target.stem}.part{target.suffix}")
    convert, stream, count = Converter(), None, 0
    webm = look.kind == "webm"
    codec, options = (
        ("libvpx-vp9", {"crf": str(crf), "b": "0", "deadline": "realtime", "cpu-used": "6"})
        if webm
        else ("libx264", {"crf": str(crf), "preset": "veryfast", "profile": "high"})
    )
    movie = {} if webm else {"movflags": "+faststart"}
    with (
        av.open(str(look.path)) as source,
        av.open(str(temporary), "w", format="webm" if webm else "mp4", options=movie) as container,
    ):
        sound = _Sound(source, container) if audio and look.sound in _SOUND[look.kind] else None
        for number, frame in enumerate(shown_frames(look)):
            made = convert(change(frame, number))
            made.pts, made.time_base, made.pict_type = number, 1 / look.rate, 0
            if stream is None:
                stream = add_picture(container, look.rate, made, codec, **options)
            container.mux(stream.encode(made))
            count += 1
            if sound is not None:
                sound.copy_to(count / float(look.rate))
        if stream is not None:
            container.mux(stream.encode(None))
        if sound is not None:
            sound.copy_to(math.inf)
    temporary.replace(target)
    return count


class _Sound:
    """The first sound track of a clip, copied packet by packet beside its pictures."""

    def __init__(self, source: InputContainer, target: OutputContainer) -> None:
        self._packets = (packet for packet in source.demux(audio=0) if packet.dts is not None)
        self._target, self._stream = target, target.add_stream_from_template(source.streams.audio[0])
        self._next = next(self._packets, None)

    def copy_to(self, seconds: float) -> None:
        """Copies what begins before a moment."""
        while (packet := self._next) is not None and float((packet.pts or 0) * packet.time_base) < seconds:
            packet.stream = self._stream
            self._target.mux(packet)
            self._next = next(self._packets, None)


def sentence_picture(sentence: str, width: int, height: int, font: Path | None = None) -> NDArray[np.uint8]:
    """White letters on a dark band.

    Returns:
        Luma of shape (rows, columns), at most as large as the picture that it is laid over.

    Raises:
        InputError: the font cannot be read.
    """
    size = max(10, min(height // 9, 2 * width // max(len(sentence), 1)))
    try:
        letters = ImageFont.load_default(size) if font is None else ImageFont.truetype(str(font), size)
    except OSError as error:
        raise InputError(f"{font}: cannot be used as a font ({error}); name a TrueType or OpenType file.") from None
    box = letters.getbbox(sentence)
    wide, high = round(box[2] - box[0]) + 2 * size, round(box[3] - box[1]) + size
    band = Image.new("L", (min(wide, width), min(high, height)), 16)
    place = (
        round((band.width - (box[2] - box[0])) / 2 - box[0]),
        round((band.height - (box[3] - box[1])) / 2 - box[1]),
    )
    ImageDraw.Draw(band).text(place, sentence, 235, font=letters)
    return np.asarray(band, np.uint8)


def _over(frame: VideoFrame, letters: NDArray[np.uint8]) -> VideoFrame:
    """A frame with a grey picture over its middle."""
    planes: NDArray[np.uint8] = np.array(frame.reformat(format="yuv444p").to_ndarray(), np.uint8)
    rows, columns = letters.shape
    top, left = (frame.height - rows) // 2, (frame.width - columns) // 2
    place = (slice(top, top + rows), slice(left, left + columns))
    planes[0][place] = letters
    for chroma in planes[1:]:
        chroma[place] = 128
    made = VideoFrame.from_ndarray(planes, format="yuv444p")
    for name in ("color_range", "colorspace"):
        value = getattr(frame, name, None)
        if value is not None:
            setattr(made, name, value)
    return made


def write_check_clip(target: Path, size: tuple[int, int] = (640, 360), seconds: float = 3.0, rate: int = 30) -> int:
    """A moving pattern that a device has to play before the study; returns how many frames it has."""
    temporary = target.with_name(f"{target.stem}.part.mp4")
    frames = round(seconds * rate)
    with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = None
        for number, picture in enumerate(_pattern(size, frames)):
            frame = VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            if stream is None:
                stream = add_picture(container, Fraction(rate), frame, "libx264", crf="20", preset="medium")
            container.mux(stream.encode(frame))
        assert stream is not None
        container.mux(stream.encode(None))
    temporary.replace(target)
    return frames


def _pattern(size: tuple[int, int], frames: int) -> Iterator[NDArray[np.uint8]]:
    width, height = size
    y, x = np.mgrid[:height, :width]
    for number in range(frames):
        waves = np.sin((x + 4 * number) / 23) * np.sin((y - 2 * number) / 17)
        yield np.asarray(128 + 70 * waves, np.uint8)
