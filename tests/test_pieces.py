"""Word pieces, and frames as what a model emits: round trips, plain twins, and what is not a frame over whole words."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from random_frames import LABELS, bank_of, random_frame_bank
from tiny_encoders import bpe_folder, real_minilm
from tokenizers import Tokenizer, models, normalizers
from transformers import AutoTokenizer

from bcrlib.data.frames import BROKEN, END, FrameBank, frame_of, sequences_of
from bcrlib.data.randomness import key
from bcrlib.data.top import read_top
from bcrlib.parsers.configuration import Seq2SeqConfig
from bcrlib.parsers.pieces import Pieces, cut_into_pieces
from bcrlib.parsers.pretrained import new_encoder, tiny_tokenizer
from bcrlib.parsers.targets import sequences_of_targets, targets_of

OTHER_LABELS = ("SL:PLACE", "IN:WAKE", "IN:COMBINE", "IN:CALL", "SL:COMBINE")
"""All of random frames' labels and one more, in another order."""
CASED = """
[IN:WAKE Wake me [SL:TIME at 7 AM ] ]
[IN:CALL don't CALL [SL:PERSON Mom ] ]
[IN:CALL CALL [SL:PERSON mom's ☎ number ] ]
[IN:WAKE wake Me [SL:PLACE in [SL:CITY Zürich ] ] ]
"""


@pytest.fixture
def bank() -> FrameBank:
    return random_frame_bank(60, np.random.default_rng(0))


@pytest.fixture
def letters(bank) -> Tokenizer:
    """A tokenizer that takes every word letter by letter: those of random frames have one to seven."""
    return tiny_tokenizer(bank.utterances, min_count=10**6)


def all_rows(bank: FrameBank) -> np.ndarray:
    return np.arange(len(bank))


def counts(pieces: Pieces, utterance: int) -> list[int]:
    """Pieces of each word of an utterance."""
    return pieces.num_pieces[pieces.word_offsets[utterance] : pieces.word_offsets[utterance + 1]].tolist()


def plain_target(
    sequence: Sequence[int], labels: Sequence[str], own: Sequence[str], counts: list[int]
) -> list[int] | None:
    """The twin of `targets_of` for one row; None: not expressible."""
    target = []
    for code in sequence:
        if code == END:
            break
        if code == BROKEN:
            return None
        number = code - 1
        if number < 2 * len(labels):
            label = labels[number % len(labels)]
            if label not in own:
                return None
            target.append(1 + own.index(label) + (len(own) if number >= len(labels) else 0))
        else:
            word = number - 2 * len(labels)
            start = 1 + 2 * len(own) + sum(counts[:word])
            target.extend(range(start, start + counts[word]))
    return [*target, END]


def plain_sequence(target: Sequence[int], num_labels: int, counts: list[int]) -> list[int]:
    """The twin of `sequences_of_targets` for one row, without ends; [BROKEN] where there is not a sequence."""
    places = [(word, part) for word, count in enumerate(counts) for part in range(count)]
    sequence, due = [], []
    for token in target:
        number = token - 1 - 2 * num_labels
        if due:
            if token != due.pop(0):
                return [BROKEN]
        elif token == END:
            return sequence
        elif number < 0:
            sequence.append(token)
        else:
            if number >= len(places) or places[number][1] > 0:
                return [BROKEN]
            word = places[number][0]
            sequence.append(1 + 2 * num_labels + word)
            due = list(range(token + 1, token + counts[word]))
    return [BROKEN]


def spoilt(target: list[int], largest: int, rng: np.random.Generator) -> list[int]:
    """A target with up to two faults: a token missing, twice, another one, two swapped; or no end."""
    target = target[:-1]
    for _ in range(rng.integers(0, 3)):
        place = int(rng.integers(len(target)))
        kind = rng.integers(4)
        if kind == 0 and len(target) > 1:
            del target[place]
        elif kind == 1:
            target.insert(place, target[place])
        elif kind == 2:
            target[place] = int(rng.integers(1, largest + 3))
        else:
            target[place - 1], target[place] = target[place], target[place - 1]
    return target if rng.random() < 0.1 else [*target, END]


def filled(rows: list[list[int]]) -> np.ndarray:
    """Filled up with ends to the longest, so that the longest may have none."""
    result = np.full((len(rows), max(map(len, rows))), END)
    for row, tokens in zip(result, rows):
        row[: len(tokens)] = tokens
    return result


def there_and_back(bank: FrameBank, labels: Sequence[str], pieces: Pieces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sequences, the targets they become, the sequences these become."""
    sequences = sequences_of(bank, labels)
    targets = targets_of(sequences, all_rows(bank), labels, pieces, labels)
    assert targets.expressible.all()
    tokens = targets.padded(all_rows(bank))
    return sequences, tokens, sequences_of_targets(tokens, all_rows(bank), pieces, len(labels))


def assert_equal_but_for_ends(back: np.ndarray, sequences: np.ndarray) -> None:
    assert back.dtype == np.int16 and back.shape[1] > sequences.shape[1]
    assert np.array_equal(back[:, : sequences.shape[1]], sequences) and (back[:, sequences.shape[1] :] == END).all()


def test_pieces_of_two_utterances_by_hand():
    tokenizer = tiny_tokenizer([("ab", "c")])
    pieces = cut_into_pieces([("c", "ab", "c"), ("ab",)], tokenizer, max_pieces=4)
    a, b, c = (tokenizer.token_to_id(piece) for piece in ("a", "##b", "c"))
    assert pieces.ids.tolist() == [c, a, b, c, a, b]
    assert pieces.word.tolist() == [0, 1, 1, 2, 0, 0]
    assert pieces.part.tolist() == [0, 0, 1, 0, 0, 1]
    assert pieces.offsets.tolist() == [0, 4, 6] and pieces.lengths.tolist() == [4, 2]
    assert pieces.first_piece.tolist() == [0, 1, 3, 0]
    assert pieces.num_pieces.tolist() == [1, 2, 1, 2]
    assert pieces.word_offsets.tolist() == [0, 3, 4]
    assert (pieces.before, pieces.after) == ((2,), (3,)), "the ids of [CLS] and [SEP]"


def test_an_utterance_has_the_same_pieces_and_key_in_any_company(bank, letters):
    together = cut_into_pieces(bank.utterances, letters, 128)
    for i, words in enumerate(bank.utterances[:10]):
        alone = cut_into_pieces([words], letters, 128)
        inside = slice(together.offsets[i], together.offsets[i + 1])
        for name in ("ids", "word", "part"):
            assert np.array_equal(getattr(alone, name), getattr(together, name)[inside]), name
        assert alone.keys[0] == together.keys[i] == key(*words)
    assert len(set(together.keys.tolist())) == len(set(bank.utterances))


def test_a_word_that_the_tokenizer_makes_nothing_of_becomes_its_unknown_symbol():
    tokenizer = tiny_tokenizer([("a", "b")])
    tokenizer.normalizer = normalizers.BertNormalizer()
    pieces = cut_into_pieces([("a", "\x07", "b"), ("\u200b\x07",)], tokenizer, 8)
    unknown = tokenizer.token_to_id("[UNK]")
    assert pieces.num_pieces.tolist() == [1, 1, 1, 1]
    assert pieces.ids[[1, 3]].tolist() == [unknown, unknown]


def test_a_tokenizer_without_a_symbol_for_unknown_words_says_which_word():
    with pytest.raises(ValueError, match="makes nothing of the word 'b'"):
        cut_into_pieces([("a", "b")], Tokenizer(models.BPE({"a": 0}, [])), 8)


@pytest.mark.parametrize("wrong, fault", [((), "no words"), (("abc", "a"), "4 word pieces, the parser takes 3")])
def test_an_utterance_that_is_empty_or_too_long_is_named(wrong, fault):
    tokenizer = tiny_tokenizer([("a", "b", "c")])
    cut_into_pieces([("abc",), ("a", "b", "a")], tokenizer, max_pieces=3)
    with pytest.raises(ValueError, match=f"utterance 2: {fault}"):
        cut_into_pieces([("a",), wrong, ("a",)], tokenizer, max_pieces=3)


@pytest.mark.parametrize("cut", ["whole words", "letters", "bytes"])
def test_random_frames_come_back_from_their_targets(bank, cut, tmp_path):
    if cut == "bytes":
        _, tokenizer = new_encoder(Seq2SeqConfig(encoder=str(bpe_folder(tmp_path))), [])
    else:
        tokenizer = tiny_tokenizer(bank.utterances, 1 if cut == "whole words" else 10**6)
    pieces = cut_into_pieces(bank.utterances, tokenizer, 128)
    assert (pieces.num_pieces.max() == 1) == (cut == "whole words")
    sequences, _, back = there_and_back(bank, LABELS, pieces)
    assert_equal_but_for_ends(back, sequences)
    rows = zip(back, bank.utterances, bank.frames)
    assert all(frame_of(sequence, LABELS, words) == frame for sequence, words, frame in rows)


@pytest.mark.parametrize("own", [LABELS, OTHER_LABELS, LABELS[1:]], ids=["same labels", "more labels", "fewer labels"])
def test_targets_are_those_of_the_plain_twin(bank, letters, own):
    sequences = sequences_of(bank, LABELS)
    sequences[7] = END
    sequences[7, 0] = BROKEN
    rows = np.random.default_rng(1).integers(len(bank), size=100)
    rows[:3] = 7, 0, 7
    pieces = cut_into_pieces(bank.utterances, letters, 128)
    targets = targets_of(sequences[rows], rows, LABELS, pieces, own)
    expected = [plain_target(sequences[u], LABELS, list(own), counts(pieces, u)) for u in rows]
    assert targets.expressible.tolist() == [target is not None for target in expected]
    assert 0 < (~targets.expressible).sum() < len(rows)
    for row, target in enumerate(expected):
        assert targets.tokens[targets.offsets[row] : targets.offsets[row + 1]].tolist() == (target or [END])
    some = np.array([5, 0, 99, 5])
    assert np.array_equal(targets.padded(some), filled([expected[row] or [END] for row in some]))


def test_a_sequence_without_a_code_is_an_end_alone(bank, letters):
    """What a parser says that ends at once can be scored."""
    pieces = cut_into_pieces(bank.utterances, letters, 128)
    targets = targets_of(np.zeros((2, 4), np.int16), np.array([3, 4]), LABELS, pieces, LABELS)
    assert targets.tokens.tolist() == [END, END] and targets.expressible.all()


WHOLE = {
    "the frame": ([1, 3, 4, 5, 2, 0], [1, 3, 4, 2]),
    "nothing": ([0, 0, 0], []),
    "words in another order": ([1, 5, 3, 4, 2, 0], [1, 4, 3, 2]),
    "a word twice": ([3, 4, 3, 4, 5, 5, 0], [3, 3, 4, 4]),
    "no closing bracket": ([1, 3, 4, 0, 0], [1, 3]),
}
CUT = {
    "last piece missing": [1, 3, 5, 2, 0],
    "first piece missing": [1, 4, 5, 2, 0],
    "pieces swapped": [1, 4, 3, 5, 2, 0],
    "first piece twice": [1, 3, 3, 4, 5, 2, 0],
    "last piece twice": [1, 3, 4, 4, 5, 2, 0],
    "bracket inside a word": [1, 3, 1, 4, 2, 5, 2, 0],
    "end inside a word": [1, 5, 3, 0, 0],
    "pointer beyond the utterance": [1, 3, 4, 5, 6, 2, 0],
    "pointer far beyond": [1, 3, 4, 5, 99, 2, 0],
    "no end": [1, 3, 4, 5, 2],
    "no end inside a word": [1, 5, 3],
}


@pytest.mark.parametrize("utterance", [0, 1])
@pytest.mark.parametrize("tokens, expected", [*WHOLE.values(), *((tokens, [BROKEN]) for tokens in CUT.values())],
                         ids=[*WHOLE, *CUT])  # fmt: skip
def test_targets_become_sequences_where_words_are_whole(tokens, expected, utterance):
    """With one label, tokens 3, 4 are the pieces of the first word and 5 is the second; others' pieces stand behind."""
    pieces = cut_into_pieces([("ab", "c"), ("ba", "c"), ("abc",)], tiny_tokenizer([("a", "b", "c")]), 8)
    (found,) = sequences_of_targets(np.array([tokens]), np.array([utterance]), pieces, 1)
    assert found.tolist() == expected + [END] * (len(tokens) - len(expected))


def test_sequences_are_those_of_the_plain_twin(bank, letters):
    rng = np.random.default_rng(2)
    pieces = cut_into_pieces(bank.utterances, letters, 128)
    targets = targets_of(sequences_of(bank, LABELS), all_rows(bank), LABELS, pieces, LABELS)
    rows = rng.integers(len(bank), size=600)
    largest = 2 * len(LABELS) + pieces.lengths[rows]
    right = (targets.tokens[targets.offsets[u] : targets.offsets[u + 1]].tolist() for u in rows)
    tokens = filled([spoilt(target, most, rng) for target, most in zip(right, largest)])
    found = sequences_of_targets(tokens, rows, pieces, len(LABELS))
    expected = [plain_sequence(target, len(LABELS), counts(pieces, u)) for target, u in zip(tokens.tolist(), rows)]
    for sequence, twin in zip(found.tolist(), expected):
        assert sequence == twin + [END] * (len(sequence) - len(twin))
    assert 0.2 < np.mean([twin == [BROKEN] for twin in expected]) < 0.8


def test_a_cased_tokenizer_of_bytes_serves_as_well(tmp_path):
    encoder, tokenizer = new_encoder(Seq2SeqConfig(encoder=str(bpe_folder(tmp_path)), encoder_layers=1), [])
    assert encoder.config.num_hidden_layers == 1
    bank = bank_of(*CASED.strip().splitlines())
    pieces = cut_into_pieces(bank.utterances, tokenizer, 128)
    assert (pieces.before, pieces.after) == ((0,), (2,)), "the ids of <s> and </s>"
    assert pieces.ids.max() < encoder.config.vocab_size
    words = [word for words in bank.utterances for word in words]
    cut = np.split(pieces.ids, np.cumsum(pieces.num_pieces)[:-1])
    assert [tokenizer.decode(ids.tolist()) for ids in cut] == [f" {word}" for word in words]
    assert pieces.num_pieces.max() > 2
    ids_of = dict(zip(words, map(np.ndarray.tolist, cut)))
    assert ids_of["wake"] != ids_of["Wake"] and ids_of["Mom"] != ids_of["mom's"][:1]
    sequences, _, back = there_and_back(bank, bank.labels, pieces)
    assert_equal_but_for_ends(back, sequences)


@pytest.mark.corpus
def test_all_frames_of_top_come_back_from_their_targets(top):
    """That sequences become frames again, the tests of the corpus show."""
    files = [top(split) for split in ("train", "dev", "test")]
    tokenizer = Tokenizer.from_file(str(real_minilm() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    banks = [read_top(file) for file in files]
    for bank in banks:
        pieces = cut_into_pieces(bank.utterances, tokenizer, 128)
        sequences, tokens, back = there_and_back(bank, banks[0].labels, pieces)
        assert_equal_but_for_ends(back, sequences)
        assert tokens.shape[1] <= Seq2SeqConfig.max_steps
    assert sum(len(bank) for bank in banks) == 40_687


@pytest.mark.corpus
def test_targets_of_top_over_robertas_pieces_are_as_long_as_the_authors(top):
    bank = read_top(top("test"))
    try:
        tokenizer = AutoTokenizer.from_pretrained("roberta-base", add_prefix_space=True, local_files_only=True)
    except OSError:
        warnings.warn("ROBERTA'S TOKENIZER NOT FOUND in the hub's cache", stacklevel=1)
        pytest.skip("roberta-base is not in the hub's cache")
    pieces = cut_into_pieces(bank.utterances, tokenizer.backend_tokenizer, 128)
    _, tokens, _ = there_and_back(bank, bank.labels, pieces)
    assert (tokens.shape[1] - 1, pieces.lengths.max()) == (71, 45), "without the end; protocol, section 0"
