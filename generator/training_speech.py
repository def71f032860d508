"""Synthetic speech with known phones, for training and testing the acoustic model of the mouth.

Every utterance names its voice, so that voices can be held out. English sentences are drawn from a
small grammar; other languages are spoken by espeak-ng from short texts and from invented words.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from obverse.generator.phones import Phone, phones_from
from obverse.generator.speech import RATE_HZ
from obverse.generator.synthesis import Kokoro, Utterance, align_english, speak_espeak, speak_flite

__all__ = ["HELD_OUT", "Spoken", "draw_sentence", "speak_corpus"]

# Never trained on: two voices, two languages.
HELD_OUT = ("flite-rms", "kokoro-kumo", "espeak-nl", "espeak-ru")

_FLITE = ("kal16", "awb", "rms", "slt")
_KOKORO = {
    "alpha": "jf_alpha", "gongitsune": "jf_gongitsune", "nezumi": "jf_nezumi",
    "tebukuro": "jf_tebukuro", "kumo": "jm_kumo",
}  # fmt: skip
_VARIANTS = (
    "", *(f"+f{n}" for n in range(1, 6)), *(f"+m{n}" for n in range(1, 9)),
    *(f"+klatt{n}" for n in ("", 2, 3, 4)), "+croak", "+whisper", "+whisperf", "+Andy", "+Annie",
    "+Denis", "+Hugo", "+Mario", "+belinda", "+linda", "+john", "+rob", "+zac", "+steph", "+shelby",
)  # fmt: skip

_WHO = (
    "my mother", "your brother", "the baker", "an old farmer", "Peter", "Bob", "every pilot",
    "both of them", "nobody", "the woman with the map", "a big brown bear", "the people above us",
    "Emma", "our family", "a famous poet", "the boy in the blue shirt", "this museum", "she", "he",
    "they", "the young lawyer", "a thousand bees", "the judge", "Mabel", "few teachers",
    "their uncle", "the moon", "some of the children",
)  # fmt: skip
_DID = (
    "bought", "put down", "moved", "painted", "remembered", "liked", "carried", "found",
    "threw away", "shaped", "built", "pushed", "measured", "loved", "gave us", "hid", "chose",
    "opened", "boiled", "jumped over", "forgot", "wrapped up", "spoke about", "laughed at",
    "showed me", "wished for", "burned", "broke", "polished", "watched", "described", "made",
    "never saw", "could not buy", "thought about", "whispered about", "dropped",
)  # fmt: skip
_WHAT = (
    "a map", "the paper cups", "five violins", "the whole bowl of soup", "a purple umbrella",
    "the first chapter", "that box", "a boat", "the piano", "ten oranges", "the yellow house",
    "a small book of poems", "his beard", "the bridge", "my favourite mug", "both apples",
    "the machine", "a wooden toy", "some fresh fish", "the blue vase", "every chair",
    "a pair of boots", "the television", "a zipper", "good jam", "the quiet river", "an owl",
    "her thumb", "a cheap watch", "the thick rope", "their shadow", "hot coffee", "a rough sketch",
    "the vision", "rubber", "a gold ring", "the garage", "warm milk", "a huge jar of honey",
    "the law", "your voice", "an empty room", "the cloth",
)  # fmt: skip
_WHERE = (
    "by the window", "in September", "behind the farm", "after breakfast", "near Plymouth",
    "at half past five", "on top of the hill", "before the storm", "with great care", "for a month",
    "above the shop", "without a word", "under the apple tree", "at the museum", "in public",
    "because of the weather", "for the very first time", "all through the night",
    "in the middle of March", "with both hands", "outdoors", "while we were asleep",
    "beyond the valley", "again and again", "as usual", "in a few minutes", "from far away",
    "along the shore",
)  # fmt: skip
_JOIN = (". ", ", and ", ", but ", "; perhaps ", ", because ")

# Spoken by espeak-ng, which says what sounds it makes: what matters is their variety.
_TEXTS = {
    "fr": (
        "Bonjour, je m'appelle Marie et je bois du bon vin. La pluie tombe sur une "
        "petite rue vide. Un peu plus de beurre, mon amour."
    ),
    "de": (
        "Guten Morgen, meine Mutter kauft Brot und Äpfel. Über die Brücke fahren fünf "
        "große Busse. Möchten Sie bitte noch etwas Pfeffer?"
    ),
    "es": (
        "Buenos días, mi padre bebe un vaso de agua. El pueblo tiene muchas fiestas en "
        "verano. Pablo vive cerca del puente viejo."
    ),
    "it": (
        "Buongiorno, mia mamma prepara la pasta al pomodoro. Il bambino gioca sulla "
        "spiaggia. Vorrei un bicchiere di buon vino."
    ),
    "pt": (
        "Bom dia, a minha avó comprou um bolo bonito. O barco passou por baixo da ponte. "
        "Não sabemos quando vai parar de chover."
    ),
    "pl": (
        "Dzień dobry, moja babcia kupiła jabłka i chleb. Wszyscy ludzie śpiewają pod "
        "mostem. Proszę bardzo, może jutro będzie padać."
    ),
    "tr": (
        "Günaydın, babam büyük bir ev yaptı. Çocuklar bahçede top oynuyor. Bu müzik "
        "gerçekten çok güzelmiş."
    ),
    "sv": (
        "God morgon, min bror bor på en ö. Vi köper fem blåa båtar i hamnen. "
        "Sjuksköterskan mötte pojken vid bryggan."
    ),
    "fi": (
        "Hyvää huomenta, äitini ostaa leipää ja maitoa. Pöydällä on pieni musta kuppi. "
        "Muumipeikko uimassa meressä."
    ),
    "hu": (
        "Jó reggelt, a barátom almát és kenyeret vesz. Budapesten gyönyörű hidak vannak. "
        "Mama süt egy nagy pulykát."
    ),
    "hi": (
        "मेरी माँ बाज़ार से फल और सब्ज़ी लाती है। पिताजी सुबह चाय पीते हैं। यह बहुत बड़ा "
        "मकान है।"
    ),
    "cmn": "我妈妈买了一本书。明天早上爸爸坐飞机去北京。这个苹果不便宜。小朋友们跑步去公园玩。",
    "ja": (
        "おはようございます。ぼくのははは、パンとみかんをかいまし"
        "た。ふゆのうみはとてもさむいです。"
    ),
    "ko": "안녕하세요. 어머니가 빵과 우유를 사셨어요. 바다 위에 배가 많아요. 오빠는 밖에서 뛰어요.",
    "ar": "صباح الخير. أمي تشتري الخبز والموز. البحر جميل في الصباح. مكتب المدير بعيد.",
    "el": "Καλημέρα, η μητέρα μου αγόρασε ψωμί και βούτυρο. Ο μπαμπάς πίνει πάντα καφέ.",
    "vi": "Xin chào, mẹ tôi mua một bó hoa. Buổi sáng ba uống cà phê. Phố này rất đông vui.",
    "nl": (
        "Goedemorgen, mijn moeder koopt brood en boter. De vijf boeven varen over de "
        "brede rivier. Wij bouwen een mooi huis."
    ),
    "ru": (
        "Доброе утро, моя мама купила яблоки и молоко. Мой брат любит пить чай. Поезд "
        "прибывает в восемь часов."
    ),
}  # fmt: skip
_ONSETS = [
    "b",
    "p",
    "m",
    "f",
    "v",
    "t",
    "d",
    "n",
    "s",
    "z",
    "k",
    "g",
    "l",
    "r",
    "ch",
    "sh",
    "y",
    "w",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "au"]
# spelling near to sound
_INVENTING = (
    "es", "it", "de", "fi", "tr", "pt", "sw", "id", "ro", "cs", "hr", "eu", "ca", "la", "eo", "af",
    "nb", "pl",
)  # fmt: skip
_ENGLISH = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-029")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """One training utterance."""

    voice: str
    samples: npt.NDArray[np.float32]  # [N] at RATE_HZ
    phones: tuple[Phone, ...]


def draw_sentence(rng: np.random.Generator) -> str:
    """Draw an English sentence of one or two clauses."""

    def clause() -> str:
        return " ".join(str(rng.choice(words)) for words in (_WHO, _DID, _WHAT, _WHERE))

    text = clause()
    if rng.random() < 0.4:
        text += str(rng.choice(_JOIN)) + clause()
    return text[0].upper() + text[1:] + "."


def _invent(rng: np.random.Generator) -> str:
    """Draw five to nine invented words."""
    words = [
        "".join(
            str(rng.choice(_ONSETS)) + str(rng.choice(_VOWELS)) for _ in range(rng.integers(1, 4))
        )
        + ("m" if rng.random() < 0.1 else "")
        for _ in range(rng.integers(5, 10))
    ]
    return " ".join(words) + "."


_CLOSING = frozenset("bpmfv")
_CLOSING_SECONDS = 0.065


def _spoken(voice: str, utterance: Utterance) -> Spoken:
    samples = utterance.samples
    if utterance.rate_hz != RATE_HZ:
        samples = resample_poly(samples, RATE_HZ, utterance.rate_hz).astype(np.float32)
    phones = list(utterance.phones or ())
    if utterance.alphabet == "ipa":
        # espeak announces a stop at its burst: the closure before it belongs to it, and is taken
        # from what precedes.
        for index in range(1, len(phones)):
            name, start, end = phones[index]
            if name[:1] in _CLOSING and end - start < _CLOSING_SECONDS:
                before, first, _ = phones[index - 1]
                cut = max(first, end - _CLOSING_SECONDS)
                phones[index - 1], phones[index] = (before, first, cut), (name, cut, end)
    return Spoken(voice, samples, tuple(phones_from(phones, utterance.alphabet)))


def speak_corpus(
    rng: np.random.Generator, flite: int, espeak: int, kokoro: int, cache: Path
) -> Iterator[Spoken]:
    """Speak the corpus: so many sentences of each flite voice, espeak language and Kokoro voice.

    Kokoro is slow and optional: with `kokoro` 0 neither it nor pocketsphinx is needed.
    """
    for name in _FLITE:
        for _ in range(flite):
            yield _spoken(f"flite-{name}", speak_flite(draw_sentence(rng), name))
    for language in (*_TEXTS, *_INVENTING, *_ENGLISH):
        for _ in range(espeak):
            if language.startswith("en"):
                text = draw_sentence(rng)
            elif language in _TEXTS and (language not in _INVENTING or rng.random() < 0.5):
                text = _TEXTS[language]
            else:
                text = _invent(rng)
            voice = language + str(rng.choice(_VARIANTS))
            words_per_minute, pitch = int(rng.integers(110, 240)), int(rng.integers(10, 99))
            yield _spoken(f"espeak-{language}", speak_espeak(text, voice, words_per_minute, pitch))
    if kokoro:
        engine = Kokoro(cache)
        for name, style in _KOKORO.items():
            for _ in range(kokoro):
                text = draw_sentence(rng)
                utterance = align_english(
                    engine.speak(text, {style: 1.0}, float(rng.uniform(0.8, 1.25))), text
                )
                if utterance is not None:
                    yield _spoken(f"kokoro-{name}", utterance)
