"""The stack-pointer parser once more, step by step: one sentence, plain loops, nothing packed, nothing shared.

Written from the definition (Ma et al. 2018, and the authors' departures from it), to be compared with bcrlib.models.
The encoder is the network's own: tests/test_lstm.py and tests/test_token_embedding.py have its twins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import torch
from tiny_parsers import may_have, whole_batch
from torch import Tensor
from torch.nn import functional as F

from bcrlib.data.treebank import Treebank
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.samplers.dropout_p import Noise

Tree = tuple[tuple[int, ...], tuple[int, ...]]
"""Heads and relations of the words."""


def inside_out(heads: tuple[int, ...]) -> tuple[int, ...]:
    """The words that the steps of a tree point to: left children from near to far, then the right ones."""

    def visit(word: int) -> Iterator[int]:
        children = [child for child, head in enumerate(heads, start=1) if head == word]
        for child in sorted(children, key=lambda child: (child > word, abs(child - word))):
            yield child
            yield from visit(child)
        yield word

    return tuple(visit(0))


def any_order(heads: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All derivations of a tree, with the children of every head in every order."""

    def visit(word: int) -> list[tuple[int, ...]]:
        children = [child for child, head in enumerate(heads, start=1) if head == word]
        return [
            (*(step for child, part in zip(order, parts) for step in (child, *part)), word)
            for order in permutations(children)
            for parts in product(*(visit(child) for child in order))
        ]

    return visit(0)


@dataclass(frozen=True, eq=False)
class Step:
    """What the network says about one step, and what is done."""

    word: int
    top: int
    is_pop: bool
    pointers: Tensor
    """log p [position]; padding behind the end, if any."""
    labels: Tensor
    """log p [label] of pointing to `word`."""


class PlainStackPtr:
    """The network of a parser reading one sentence, under the dropout masks of a key if one is given."""

    def __init__(
        self,
        parser: StackPtrParser,
        sentence: Treebank,
        key: int | None = None,
        p: float = 0.0,
        query_masks: bool = True,
    ) -> None:
        self.network, config = parser.network, parser.network.config
        batch = whole_batch(parser, sentence)
        noise = None if key is None else Noise(torch.tensor([key]), batch.packing, p)
        widths = {
            "decoder.input": config.decoder_input_size, "decoder.hidden": config.decoder_size,
            "decoded": config.decoder_size, "arc": config.arc_size, "label": config.label_size,
        }  # fmt: skip
        with_mask = set(widths) if query_masks else {"decoder.input", "decoder.hidden"}
        self.masks = {site: torch.ones(width) for site, width in widths.items()}
        if noise is not None:
            self.masks |= {site: noise.per_sentence(site, widths[site])[0] for site in with_mask}
        self.parser, self.num_relations = parser, len(parser.vocabulary.relations)
        with torch.no_grad():
            self.encoded, cells = self.network.encoder(batch, noise)
            self.cell = self.network.initial(cells[0])
            self.keys = {side: self._projected(self.network.key, self.encoded, side) for side in ("arc", "label")}

    @torch.no_grad()
    def steps(self, words: tuple[int, ...], num_padding: int = 0) -> list[Step]:
        """The network's word on every step of a derivation, whatever the order of children."""
        stack, heads, last_child = [0], {0: 0}, {}
        hidden, cell, steps = self.cell.tanh(), self.cell, []
        for word in words:
            top = stack[-1]
            hidden, cell = self._read(hidden, cell, top, last_child.get(top), heads[top])
            steps.append(Step(word, top, word == top, self._pointers(hidden, num_padding), self._labels(hidden, word)))
            if word == top:
                stack.pop()
            else:
                heads[word], last_child[top] = top, word
                stack.append(word)
        assert not stack, "no complete derivation"
        return steps

    def log_prob(self, tree: Tree, num_padding: int = 0) -> float:
        """log p of a labelled tree by its derivation from the inside out."""
        heads, relations = tree
        total = 0.0
        for step in self.steps(inside_out(heads), num_padding):
            total += step.pointers[step.word].item()
            if not step.is_pop:
                total += step.labels[relations[step.word - 1]].item()
            elif self.network.pop_label is not None:
                total += step.labels[self.network.pop_label].item()
        return total

    def _read(self, hidden: Tensor, cell: Tensor, top: int, sibling: int | None, grandparent: int):
        seen = self.encoded[top] + self.encoded[grandparent]
        if sibling is not None:
            seen = seen + self.encoded[sibling]
        inputs = F.elu(self.network.source(seen)) * self.masks["decoder.input"]
        layer, before = self.network.decoder, hidden * self.masks["decoder.hidden"]
        no_bias = torch.zeros_like(layer.bias)
        weights = (layer.weight_input, layer.weight_hidden, layer.bias, no_bias)
        hidden, cell = torch.lstm_cell(inputs[None], (before[None], cell[None]), *weights)
        return hidden[0], cell[0]

    def _projected(self, linear: torch.nn.Linear, x: Tensor, side: str) -> Tensor:
        size = self.network.config.arc_size
        part = slice(size) if side == "arc" else slice(size, None)
        return F.elu(F.linear(x, linear.weight[part], linear.bias[part])) * self.masks[side]

    def _pointers(self, hidden: Tensor, num_padding: int) -> Tensor:
        query = self._projected(self.network.query, hidden * self.masks["decoded"], "arc")
        biaffine = self.network.arc
        scores = [query @ biaffine.bilinear @ key + biaffine.head @ key for key in self.keys["arc"]]
        return torch.stack(scores + [torch.tensor(0.0)] * num_padding).log_softmax(dim=0)

    def _labels(self, hidden: Tensor, word: int) -> Tensor:
        query = self._projected(self.network.query, hidden * self.masks["decoded"], "label")
        biaffine, key = self.network.label, self.keys["label"][word]
        bilinear = torch.stack([key @ matrix @ query for matrix in biaffine.bilinear])  # the word is the dependent
        return (bilinear + biaffine.dep(key) + biaffine.head(query)).log_softmax(dim=0)


def best_labelled(members: list[PlainStackPtr], words: tuple[int, ...]) -> list[tuple[float, float, int]]:
    """Of every step of a derivation: log p of the position, log p and number of the best label, by the members' mean.

    A pop has a label in the authors' definitions only, and the best one there counts; no word is given that of pops.
    """
    result = []
    pop_label, num_relations = members[0].network.pop_label, members[0].num_relations
    for steps in zip(*(member.steps(words) for member in members)):
        pointer = sum(step.pointers[step.word].item() for step in steps) / len(steps)
        labels = torch.stack([step.labels for step in steps]).mean(dim=0)
        for relation in range(num_relations):
            if not steps[0].is_pop and not may_have(members[0].parser, [steps[0].top], [relation]):
                labels[relation] = -torch.inf
        if steps[0].is_pop and pop_label is None:
            result.append((pointer, 0.0, -1))
            continue
        best, number = (labels if steps[0].is_pop else labels[:num_relations]).max(dim=0)
        result.append((pointer, best.item(), number.item()))
    return result


def plain_beam(
    members: list[PlainStackPtr], derivations: list[tuple[int, ...]], width: int
) -> list[tuple[float, Tree]]:
    """Beam search by tables of prefixes among all derivations: (score, tree) of what is left, best first.

    The cut is made by the pointers' log p; labels are added behind it.
    """
    told = {words: best_labelled(members, words) for words in derivations}
    beam = {(): 0.0}
    for step in range(len(derivations[0])):
        pointed, labelled = {}, {}
        for words in derivations:
            if words[:step] in beam:
                pointer, label, _ = told[words][step]
                pointed[words[: step + 1]] = beam[words[:step]] + pointer
                labelled[words[: step + 1]] = beam[words[:step]] + pointer + label
        beam = {prefix: labelled[prefix] for prefix in sorted(pointed, key=pointed.get, reverse=True)[:width]}
    scored = [(score, _tree(words, told[words])) for words, score in beam.items()]
    return sorted(scored, key=lambda scored_tree: -scored_tree[0])


def _tree(words: tuple[int, ...], told: list[tuple[float, float, int]]) -> Tree:
    stack, heads, relations = [0], {}, {}
    for word, (_, _, relation) in zip(words, told):
        if word == stack[-1]:
            stack.pop()
        else:
            heads[word], relations[word] = stack[-1], relation
            stack.append(word)
    return tuple(heads[word] for word in sorted(heads)), tuple(relations[word] for word in sorted(heads))
