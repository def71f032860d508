"""A card says what is in a table, how it is split, and what nobody knows."""

from pathlib import Path

from miniatures import MINIATURES

from obverse.datasets.adapter import Place
from obverse.datasets.index import IndexConfig, index_set
from obverse.datasets.set_card import set_card


def _card(name: str, folder: Path, **config: object) -> str:
    MINIATURES[name](folder / "set")
    settings = IndexConfig(**config)  # type: ignore[arg-type]
    index_set(name, Place(root=folder / "set"), folder / "clips.parquet", settings)
    return set_card(folder / "clips.parquet")


def test_a_card_counts_and_says_whose_the_set_is(tmp_path: Path) -> None:
    card = _card("fakeavceleb", tmp_path, details=True)
    assert card.startswith("# Card of FakeAVCeleb\n")
    assert (
        "19 clips: 17 with a pristine and 2 with a synthetic picture, 2 with synthetic sound"
        in (card)
    )
    assert "Terms: FakeAVCeleb request form: research" in card
    assert "| fsgan | 0 | 1 | 0 | 2 |" in card
    (row,) = [line for line in card.splitlines() if line.startswith("| race | Asian (East) |")]
    assert sum(int(cell) for cell in row.split("|")[3:-1]) == 8  # over the splits
    assert "FakeAVCeleb: the publisher has none." in card
    assert "No identity, voice or source is in more than one split." in card
    assert "- the file's hash (index with --hash): of 19 of 19 clips" in card
    assert "length and size" not in card
    assert "- 1 clip listed again, such as FakeVideo-FakeAudio/African/men/id00076/" in card


def test_a_card_names_leaks_and_what_was_drawn(tmp_path: Path) -> None:
    card = _card("celeb-df-v2", tmp_path)
    assert "leaks: identity celebdf:id2 is in" in card
    assert "not known" in card  # nobody looked for the length
    assert "--splits disjoint" in card


def test_a_card_of_a_part_says_of_which(tmp_path: Path) -> None:
    card = _card("ffpp", tmp_path, keep={"compression": ("c23",)})
    assert "Only clips with compression c23 are in it." in card


def test_a_card_of_no_named_set_goes_by_its_file(film_table: Path) -> None:
    card = set_card(film_table)
    assert card.startswith("# Card of clips.parquet\n")
    assert "14 clips" in card
