"""The sets by name. A new one is a file in `adapters/` and a line here."""

from obverse.datasets.adapter import Adapter
from obverse.datasets.adapters.av_deepfake1m import AVDeepfake1M
from obverse.datasets.adapters.celeb_df import CELEB_DF_PP, CELEB_DF_V1, CELEB_DF_V2
from obverse.datasets.adapters.celebv_hq import CelebVHQ
from obverse.datasets.adapters.corpus import Corpus
from obverse.datasets.adapters.csv_list import CsvList
from obverse.datasets.adapters.deeperforensics import DeeperForensics
from obverse.datasets.adapters.deepspeak import DEEPSPEAK_V1, DEEPSPEAK_V2
from obverse.datasets.adapters.df40 import DF40
from obverse.datasets.adapters.dfd import DeepFakeDetection
from obverse.datasets.adapters.dfdc import DFDC
from obverse.datasets.adapters.dfdc_preview import DFDCPreview
from obverse.datasets.adapters.fakeavceleb import FakeAVCeleb
from obverse.datasets.adapters.ffpp import FaceForensics
from obverse.datasets.adapters.folders import Folders
from obverse.datasets.adapters.hdtf import HDTF
from obverse.datasets.adapters.kodf import KoDF
from obverse.datasets.adapters.lav_df import LavDF
from obverse.datasets.adapters.shards import Shards
from obverse.datasets.adapters.voxceleb2 import VoxCeleb2
from obverse.datasets.adapters.wilddeepfake import WildDeepfake
from obverse.errors import ConfigError

__all__ = ["ADAPTERS", "adapter_named"]

ADAPTERS: dict[str, Adapter] = {
    "ffpp": FaceForensics(),
    "dfd": DeepFakeDetection(),
    "celeb-df-v1": CELEB_DF_V1,
    "celeb-df-v2": CELEB_DF_V2,
    "celeb-df-pp": CELEB_DF_PP,
    "dfdc": DFDC(),
    "dfdc-preview": DFDCPreview(),
    "deeperforensics": DeeperForensics(),
    "fakeavceleb": FakeAVCeleb(),
    "lav-df": LavDF(),
    "av-deepfake1m": AVDeepfake1M(),
    "df40": DF40(),
    "kodf": KoDF(),
    "wilddeepfake": WildDeepfake(),
    "deepspeak-v1": DEEPSPEAK_V1,
    "deepspeak-v2": DEEPSPEAK_V2,
    "voxceleb2": VoxCeleb2(),
    "celebv-hq": CelebVHQ(),
    "hdtf": HDTF(),
    "folders": Folders(),
    "csv": CsvList(),
    "corpus": Corpus(),
    "shards": Shards(),
}


def adapter_named(name: str) -> Adapter:
    """Return the adapter of a set.

    Raises:
        ConfigError: there is no such set.
    """
    if name not in ADAPTERS:
        raise ConfigError(f"there is no set {name!r}; choose from {', '.join(ADAPTERS)}.")
    return ADAPTERS[name]
