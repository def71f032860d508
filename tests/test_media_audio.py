"""Sound in and out of files: rates, channels, containers, alignment with the picture, damage."""

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obverse.errors import ConfigError, InputError
from obverse.media.audio import read_speech, write_wav
from obverse.media.video import VideoWriter

Samples = npt.NDArray[np.float32]


def tone(seconds: float, rate_hz: int, pitch_hz: float = 220.0) -> Samples:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * pitch_hz * times)).astype(np.float32)


def encode(
    path: Path,
    channels: Samples,
    rate_hz: int,
    *,
    codec: str,
    container: str,
    layout: str,
    sample_format: str,
    start: int = 0,
) -> Path:
    """Write planar sound `[channels, N]` with PyAV alone, in formats that obverse never writes."""
    with av.open(str(path), "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate_hz, layout=layout)
        stream.format = sample_format
        frame = av.AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def pitch(samples: Samples, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate_hz / len(samples))


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("wanted_hz", [8000, 16000, 48000])
def test_rates(tmp_path: Path, rate_hz: int, wanted_hz: int) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0, rate_hz), rate_hz)
    heard = read_speech(tmp_path / "a.wav", wanted_hz)
    assert heard.dtype == np.float32
    assert abs(len(heard) - wanted_hz) <= 2
    expected = tone(1.0, wanted_hz)[: len(heard)]
    inner = slice(200, -200)
    assert np.abs(heard[: len(expected)] - expected)[inner].max() < 0.01


@pytest.mark.parametrize(
    ("codec", "container", "sample_format"),
    [
        ("pcm_s16le", "wav", "s16"),
        ("pcm_s24le", "wav", "s32"),
        ("pcm_f32le", "wav", "flt"),
        ("pcm_u8", "wav", "u8"),
        ("flac", "flac", "s16"),
        ("libmp3lame", "mp3", "fltp"),
        ("aac", "mp4", "fltp"),
        ("aac", "adts", "fltp"),
        ("libopus", "ogg", "flt"),
        ("libopus", "webm", "flt"),
    ],
)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_containers(
    tmp_path: Path, codec: str, container: str, sample_format: str, layout: str
) -> None:
    sound = np.stack([tone(1.0, 48000)] * (2 if layout == "stereo" else 1))
    path = encode(
        tmp_path / "a.sound",
        sound,
        48000,
        codec=codec,
        container=container,
        layout=layout,
        sample_format=sample_format,
    )
    heard = read_speech(path)
    assert abs(len(heard) / 16000 - 1.0) < 0.08  # a codec's padding
    assert pitch(heard, 16000) == pytest.approx(220, abs=2)
    assert np.abs(heard[2000:14000]).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("layout", "weights"),
    [
        ("stereo", [0.5, 0.5]),
        ("3.0", [0.2929, 0.2929, 0.4142]),
        ("5.1", [0.2071, 0.2071, 0.2929, 0.0, 0.1464, 0.1464]),
    ],
)
def test_channels_are_mixed_and_never_clip(
    tmp_path: Path, layout: str, weights: list[float]
) -> None:
    for channel, weight in enumerate(weights):
        sound = np.zeros((len(weights), 16000), np.float32)
        sound[channel] = 0.9
        path = encode(
            tmp_path / "a.wav",
            sound,
            16000,
            codec="pcm_f32le",
            container="wav",
            layout=layout,
            sample_format="flt",
        )
        assert read_speech(path)[8000] == pytest.approx(0.9 * weight, abs=1e-3)


def test_sound_of_a_film_is_aligned_with_its_first_frame(tmp_path: Path) -> None:
    click = np.zeros(16000, np.float32)
    click[8000:8200] = 0.9
    with VideoWriter(tmp_path / "a.mp4", 64, 64, 25, audio=click) as writer:
        for _ in range(25):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    heard = read_speech(tmp_path / "a.mp4")
    assert abs(int(np.argmax(np.abs(heard) > 0.4)) - 8000) < 20
    # the same film, its sound put off by half a second
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "b.mkv"), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is None or packet.pts is None:
                continue
            if packet.stream.type == "audio":
                packet.pts += 8000
                packet.dts += 8000
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    later = read_speech(tmp_path / "b.mkv")
    assert abs(int(np.argmax(np.abs(later) > 0.4)) - 16000) < 40


@settings(max_examples=25, deadline=None)
@given(
    samples=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=300),
    rate_hz=st.sampled_from([8000, 16000, 44100, 96000]),
)
def test_wav_round_trip(
    tmp_path_factory: pytest.TempPathFactory, samples: list[float], rate_hz: int
) -> None:
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    before = np.asarray(samples, np.float32)
    write_wav(path, before, rate_hz)
    after = read_speech(path, rate_hz)
    assert len(after) == len(before)
    assert np.abs(after - before).max() <= 1 / 32767 + 1e-4


def test_wav_files_are_sixteen_bit_mono_and_clipped(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([2.0, -2.0, 0.0], np.float32), 16000)
    with wave.open(str(tmp_path / "a.wav")) as stream:
        assert (stream.getnchannels(), stream.getsampwidth(), stream.getframerate()) == (
            1,
            2,
            16000,
        )
        assert np.frombuffer(stream.readframes(3), "<i2").tolist() == [32767, -32767, 0]


def test_arguments_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one row"):
        write_wav(tmp_path / "a.wav", np.zeros((2, 5), np.float32), 16000)
    with pytest.raises(ConfigError, match="finite"):
        write_wav(tmp_path / "a.wav", np.full(5, np.nan, np.float32), 16000)
    with pytest.raises(ConfigError, match="rate_hz"):
        write_wav(tmp_path / "a.wav", tone(1, 16000), 0)
    with pytest.raises(ConfigError, match="rate_hz"):
        read_speech(tmp_path / "a.wav", 0)
    assert not list(tmp_path.iterdir())


def _refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_speech(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_what_holds_no_sound(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "silent.mp4", 64, 64, 25) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    write_wav(tmp_path / "none.wav", np.zeros(0, np.float32), 16000)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("Call me Ishmael.\n" * 30)
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(3).bytes(200))
    assert "no sound" in _refused(tmp_path / "silent.mp4")
    assert "no sound" in _refused(tmp_path / "none.wav")
    assert "empty" in _refused(tmp_path / "empty.wav")
    assert "cannot be opened" in _refused(tmp_path / "absent.wav")
    assert "directory" in _refused(tmp_path)
    _refused(tmp_path / "text.wav")
    _refused(tmp_path / "noise.mp3")


def test_sound_that_breaks_off(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0, 16000), 16000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: len(data) // 2])
    assert "cut short" in _refused(tmp_path / "a.wav")


def test_public_speech_reads() -> None:
    folder = Path(__file__).resolve().parents[2] / "shared" / "speech"
    if not folder.is_dir():
        pytest.skip("no shared speech here")
    for path in folder.iterdir():
        samples = read_speech(path)
        assert len(samples) > 3 * 16000
        assert 0.1 < np.abs(samples).max() <= 1.0


def test_a_voice_in_the_centre_of_six_nameless_channels_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "six.wav"
    centre = np.zeros((16_000, 6), "<i2")
    centre[:, 2] = np.round(20_000 * np.sin(np.arange(16_000) * 0.1))
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(6)
        stream.setsampwidth(2)
        stream.setframerate(16_000)
        stream.writeframes(centre.tobytes())
    level = float(np.sqrt(np.mean(read_speech(path) ** 2)))
    expected = 20_000 / 32768 / np.sqrt(2)
    # BS.775 over all channels but the one for effects.
    assert level == pytest.approx(expected * 1.0 / (1.0 + 2 * 0.7071 + 2 * 0.5), rel=0.05)


def test_a_rate_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "rate.wav"
    write_wav(path, np.full(16000, 0.1, np.float32), 16000)
    content = bytearray(path.read_bytes())
    content[24:28] = (0x7FFFFFFF).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match="2147483647 Hz"):
        read_speech(path)
