"""What happens to a voice on its way to a microphone, and how else it can be used: the augmentation
of training speech.

Every change keeps the phones in step with the sound. `noise_like` also makes what is no voice at
all: hum, wind, knocks, and music out of plucked, bowed and struck notes.
"""

import functools

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve, lfilter, resample_poly

from obverse.generator.phones import Phone
from obverse.generator.speech import RATE_HZ

__all__ = ["NOISES", "augment", "noise_like", "sung", "whispered"]

Array = npt.NDArray[np.float64]
NOISES = ("noise", "wind", "hum", "knocks", "music")
_VOWELS = frozenset(("open", "front", "close", "back", "central", "rounded"))


def _unit(samples: Array) -> Array:
    return np.asarray(samples / (np.sqrt(np.mean(samples**2)) + 1e-9))


def _music(rng: np.random.Generator, count: int) -> Array:
    """Return notes of one to three instruments, perhaps with drums."""
    music = 0.002 * rng.standard_normal(count)
    beat = rng.uniform(0.12, 0.6)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])[rng.permutation(7)[:5]]
    for _ in range(rng.integers(1, 4)):
        root = 55.0 * 2.0 ** (rng.integers(0, 30) / 12.0)
        overtones = np.arange(1, rng.integers(3, 14))
        weights = rng.uniform(0.2, 1.0, len(overtones)) / overtones ** rng.uniform(0.4, 2.0)
        attack, decay = rng.choice([0.003, 0.02, 0.1]), rng.uniform(0.3, 8.0)
        vibrato = rng.choice([0.0, 0.0, 0.01]) * rng.random()
        chord = int(rng.integers(1, 4))
        for start in np.arange(0.0, count / RATE_HZ, beat * int(rng.integers(1, 5))):
            if rng.random() < 0.2:
                continue
            first = int(start * RATE_HZ)
            length = min(count - first, int(RATE_HZ * rng.uniform(0.3, 2.0)))
            time = np.arange(length) / RATE_HZ
            envelope = np.exp(-time * decay) * np.minimum(1.0, time / attack)
            envelope *= np.minimum(1.0, (time[-1] - time) / 0.02) if length > 1 else 1.0
            wobble = 1.0 + vibrato * np.sin(2 * np.pi * 5.5 * time) * np.minimum(1.0, time / 0.3)
            turns = np.cumsum(wobble) / RATE_HZ
            for _ in range(chord):
                hz = root * 2.0 ** ((rng.choice(scale) + 12 * rng.integers(0, 2)) / 12.0)
                heard = overtones * hz < 7000.0
                phases = 2 * np.pi * hz * overtones[heard, None] * turns
                music[first : first + length] += envelope * (weights[heard] @ np.sin(phases))
    if rng.random() < 0.5:
        for start in np.arange(0.0, count / RATE_HZ, beat):
            first = int(start * RATE_HZ)
            length = min(count - first, RATE_HZ // 5)
            hit = rng.standard_normal(length) * np.exp(-np.arange(length) / rng.uniform(100, 900))
            if rng.random() < 0.5:  # a low drum
                hit = lfilter([0.05], [1.0, -0.95], hit) * 4.0
            music[first : first + length] += rng.uniform(0.2, 1.5) * hit
    return music


def noise_like(rng: np.random.Generator, count: int, kind: str | None = None) -> Array:
    """Return unit-power sound that is no voice, of a kind out of `NOISES` or any of them."""
    kind = kind or NOISES[min(int(rng.integers(7)), len(NOISES) - 1)]
    time = np.arange(count) / RATE_HZ
    if kind in ("noise", "wind"):
        noise = lfilter([1.0], [1.0, -rng.uniform(-0.5, 0.98)], rng.standard_normal(count))
        if kind == "wind":  # gusts, waves, passing cars
            points = rng.normal(0.0, 5.0, max(2, count // int(rng.uniform(2000, 16000))))
            gusts = np.interp(time, np.linspace(0.0, time[-1], len(points)), points)
            noise = noise * 10.0 ** (gusts / 20.0)
    elif kind == "hum":
        base = rng.uniform(45.0, 400.0)
        noise = 0.1 * rng.standard_normal(count)
        for k in range(1, 9):
            noise += np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6.3)) / k
    elif kind == "knocks":
        noise = rng.standard_normal(count) * (rng.random(count) < rng.uniform(0.0001, 0.001))
        knock = np.exp(-np.arange(800) / rng.uniform(20, 200)) * rng.standard_normal(800)
        noise = fftconvolve(noise, knock)[:count] + 0.02 * rng.standard_normal(count)
    else:
        noise = _music(rng, count)
    return _unit(noise)


@functools.cache
def _records() -> tuple[Array, ...]:
    """Return some music to play behind voices."""
    rng = np.random.default_rng(0)
    return tuple(_unit(_music(rng, 10 * RATE_HZ)) for _ in range(16))


def _background(rng: np.random.Generator, count: int) -> Array:
    """Return unit-power sound that is no voice; music is taken from the records."""
    if rng.random() < 0.55:
        return noise_like(rng, count, NOISES[int(rng.integers(len(NOISES) - 1))])
    records = _records()
    record = np.roll(records[int(rng.integers(len(records)))], int(rng.integers(10 * RATE_HZ)))
    speed = rng.uniform(0.8, 1.25)
    return _unit(np.interp(np.arange(count) * speed % len(record), np.arange(len(record)), record))


def whispered(samples: Array, rng: np.random.Generator) -> Array:
    """Replace the voice by noise behind the same vocal tract (linear prediction of order 16)."""
    order, hop = 16, 160
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 200), 400)[::hop]
    auto = np.fft.irfft(np.abs(np.fft.rfft(windows * np.hanning(400), 1024)) ** 2)[:, : order + 1]
    lag = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    ridge = (auto[:, 0] * 1e-3 + 1e-9)[:, None, None] * np.eye(order)
    a = np.linalg.solve(auto[:, lag] + ridge, auto[:, 1:, None])[:, :, 0]
    gain = np.sqrt(np.maximum(auto[:, 0] - (a * auto[:, 1:]).sum(1), 0.0))
    breath = rng.standard_normal(len(samples) + 800)
    out = np.zeros(len(samples) + 800)
    fade = np.hanning(400)
    for index in range(len(windows)):
        where = slice(index * hop, index * hop + 400)
        out[where] += lfilter([gain[index]], np.r_[1.0, -a[index]], breath[where]) * fade
    loudness = np.sqrt(np.mean(samples**2) + 1e-12)
    return np.asarray(_unit(out[200 : 200 + len(samples)]) * loudness)


def _stretched(samples: Array, times: Array, places: Array) -> Array:
    """Play `samples` so that what was at `places` seconds is heard at `times`, at its own pitch
    (waveform-similarity overlap-add, Verhelst and Roelands 1993)."""
    width, hop, search = 640, 320, 160
    count = int(times[-1] * RATE_HZ)
    source = np.pad(samples, width + search)
    fade = np.hanning(width + 1)[:width]
    out = np.zeros(count + 2 * width)
    expected = source[width + search : 2 * width + search]
    for at in range(0, count, hop):
        wanted = int(np.interp(at / RATE_HZ, times, places) * RATE_HZ) + width
        near = source[wanted : wanted + width + 2 * search]
        if len(near) < width + 2 * search:
            break
        shift = int(np.correlate(near[: hop + 2 * search], expected[:hop], "valid").argmax())
        first = wanted + shift
        out[at : at + width] += source[first : first + width] * fade
        expected = source[first + hop : first + hop + width]
        if len(expected) < width:
            break
    return out[width // 2 : width // 2 + count]


def sung(
    samples: Array, phones: tuple[Phone, ...], rng: np.random.Generator
) -> tuple[Array, tuple[Phone, ...]]:
    """Hold the vowels two to six times as long, and let the pitch move in steps and vibrato."""
    if not phones:
        return samples, phones
    places, times = [0.0], [0.0]
    for phone in phones:
        if phone.start > places[-1]:
            times.append(times[-1] + phone.start - places[-1])
            places.append(phone.start)
        if phone.end > places[-1]:
            factor = rng.uniform(1.5, 6.0) if phone.sound in _VOWELS else rng.uniform(1.0, 1.6)
            times.append(times[-1] + (phone.end - places[-1]) * factor)
            places.append(phone.end)
    seconds = len(samples) / RATE_HZ
    if seconds > places[-1]:
        times.append(times[-1] + seconds - places[-1])
        places.append(seconds)
    there, here = np.array(times), np.array(places)
    out = _stretched(samples, there, here)
    # A melody: playing faster raises pitch; kept within what a throat may also do.
    time = np.arange(len(out)) / RATE_HZ
    notes = rng.uniform(-2.5, 2.5, max(2, int(time[-1] / 0.4) + 2))
    melody = notes[np.minimum((time / 0.4).astype(int), len(notes) - 1)]
    melody = lfilter([0.002], [1.0, -0.998], melody)
    depth, hz = rng.uniform(0.0, 0.8), rng.uniform(4.5, 7.0)
    speed = 2.0 ** ((melody + depth * np.sin(2 * np.pi * hz * time)) / 12.0)
    heard = np.cumsum(speed) / RATE_HZ  # the place in `out` that is heard at each moment
    moments = np.arange(int(np.interp(time[-1], heard, time) * RATE_HZ)) / RATE_HZ
    place = np.interp(moments, time, heard)
    out = np.interp(place, time, out)

    def moved(second: float) -> float:
        return float(np.interp(np.interp(second, here, there), heard, time))

    return out, tuple(
        Phone(p.sound, moved(p.start), max(moved(p.start), moved(p.end))) for p in phones
    )


def _coded(samples: Array, rng: np.random.Generator) -> Array:
    """Lose what a telephone, a coarse quantiser or a low bit rate loses."""
    kind = rng.integers(3)
    if kind == 0:
        cut, low = rng.uniform(3000.0, 6500.0), rng.uniform(80.0, 300.0)
        spectrum = np.fft.rfft(samples)
        hz = np.fft.rfftfreq(len(samples), 1.0 / RATE_HZ)
        spectrum /= (1.0 + (hz / cut) ** 12) * (1.0 + (low / np.maximum(hz, 1.0)) ** 6)
        return np.asarray(np.fft.irfft(spectrum, len(samples)))
    peak = np.abs(samples).max() + 1e-9
    if kind == 1:  # mu-law
        bits = 2.0 ** rng.integers(5, 9)
        small = np.sign(samples) * np.log1p(255.0 * np.abs(samples) / peak) / np.log(256.0)
        small = np.round(small * bits) / bits
        return np.asarray(np.sign(small) * (256.0 ** np.abs(small) - 1.0) / 255.0 * peak)
    # Lines far below the loudest of their moment are dropped.
    width = 512
    shape = np.sqrt(np.hanning(width + 1)[:width])
    padded = np.pad(samples, (width, 2 * width))
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)[:: width // 2] * shape
    spectra = np.fft.rfft(windows)
    size = np.abs(spectra)
    spectra[size < size.max(1, keepdims=True) * 10.0 ** (-rng.uniform(25.0, 45.0) / 20.0)] = 0.0
    pieces = np.fft.irfft(spectra, width) * shape
    out = np.zeros(len(padded))
    for index, piece in enumerate(pieces):
        out[index * width // 2 : index * width // 2 + width] += piece
    return out[width : width + len(samples)]


def _room(samples: Array, rng: np.random.Generator) -> Array:
    length = int(rng.uniform(0.05, 0.5) * RATE_HZ)
    tail = rng.standard_normal(length) * np.exp(-6.0 * np.arange(length) / length)
    tail *= rng.uniform(0.01, 0.1)
    tail[: RATE_HZ // 200] = 0.0  # the first reflection comes 5 ms late
    tail[0] = 1.0
    return np.asarray(fftconvolve(samples, tail)[: len(samples)])


def augment(
    samples: npt.NDArray[np.floating], phones: tuple[Phone, ...], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], tuple[Phone, ...]]:
    """Change voice, room, noise, level and channel; returns samples and the phones where they now
    are."""
    sound = np.asarray(samples, np.float64)
    if rng.random() < 0.12:
        sound, phones = sung(sound, phones, rng)
    # Resampling moves pitch and formants together, as a shorter or longer vocal tract does, and the
    # speed with them.
    num, den = int(rng.integers(42, 61)), 50
    sound = resample_poly(sound, num, den)
    stretch = num / den
    ahead, after = rng.uniform(0.0, 0.8, 2)
    sound = np.pad(sound, (int(ahead * RATE_HZ), int(after * RATE_HZ)))
    phones = tuple(
        Phone(p.sound, p.start * stretch + ahead, p.end * stretch + ahead) for p in phones
    )
    if rng.random() < 0.1:
        sound = whispered(sound, rng)
    if rng.random() < 0.6:  # a microphone: a tilt and a resonance
        sound = lfilter([1.0, rng.uniform(-0.8, 0.6)], [1.0], sound)
    if rng.random() < 0.4:
        sound = _room(sound, rng)
    if rng.random() < 0.25:  # the speaker moves or the recording is cut: the level jumps
        points = np.sort(rng.uniform(0.0, len(sound), 2 * int(rng.integers(1, 3))))
        gains = np.repeat(rng.uniform(-22.0, 6.0, len(points) // 2 + 1), 2)[: len(points)]
        sound = sound * 10.0 ** (np.interp(np.arange(len(sound)), points, gains) / 20.0)
    power = np.sqrt(np.mean(sound**2)) + 1e-9
    if rng.random() < 0.65:
        level = power * 10.0 ** (-rng.uniform(2.0, 40.0) / 20.0)
        sound = sound + level * _background(rng, len(sound))
    if rng.random() < 0.12:  # no voice at all
        sound, phones = power * _background(rng, len(sound)), ()
    if rng.random() < 0.3:
        sound = _coded(sound, rng)
    sound = sound / (np.abs(sound).max() + 1e-9)
    if rng.random() < 0.1:  # driven too hard
        sound = np.tanh(sound * rng.uniform(1.5, 5.0))
    return (sound * 10.0 ** (-rng.uniform(0.0, 36.0) / 20.0)).astype(np.float32), phones
