"""Biaffine scores of arcs and of their labels (Dozat and Manning 2017; the paper's section 6.1)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ArcBiaffine(nn.Module):
    """s(dep, head) = dep' U head + u . head.

    The authors have a constant and a term of the dependent alone as well; both cancel in the softmax over heads.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bilinear = nn.Parameter(torch.empty(size, size))
        self.head = nn.Parameter(torch.empty(size))
        nn.init.xavier_uniform_(self.bilinear)
        nn.init.uniform_(self.head, -(size**-0.5), size**-0.5)

    def forward(
        self, dep: Float[Tensor, "sentence dep size"], head: Float[Tensor, "sentence head size"]
    ) -> Float[Tensor, "sentence dep head"]:
        """Scores of all arcs. O(sentence * length * size * (size + length))."""
        return torch.bmm(dep @ self.bilinear + self.head.to(dep.dtype), head.transpose(1, 2))

    def keys(self, head: Float[Tensor, "*row size"]) -> tuple[Float[Tensor, "*row size"], Float[Tensor, "*row"]]:
        """U head and u . head: whatever comes as dependents, s(dep, head) = dep . key + bias. O(row * size^2)."""
        return head @ self.bilinear.T, head @ self.head


class LabelBiaffine(nn.Module):
    """s(dep, head, label) = dep' U_label head + v_label . dep + w_label . head + b_label."""

    def __init__(self, size: int, num_labels: int) -> None:
        super().__init__()
        self.bilinear = nn.Parameter(torch.empty(num_labels, size, size))
        self.dep = nn.Linear(size, num_labels)
        self.head = nn.Linear(size, num_labels, bias=False)
        for matrix in self.bilinear:
            nn.init.xavier_uniform_(matrix)

    def of_arcs(self, dep: Float[Tensor, "arc size"], head: Float[Tensor, "arc size"]) -> Float[Tensor, "arc label"]:
        """Scores of all labels of given arcs. O(arc * label * size^2)."""
        num_labels, size, _ = self.bilinear.shape
        projected = dep @ self.bilinear.permute(1, 0, 2).reshape(size, -1)  # (arc, label * size)
        scores = torch.bmm(projected.view(-1, num_labels, size), head[:, :, None]).squeeze(2)
        return scores + self.dep(dep) + self.head(head)

    def of_all_arcs(
        self, dep: Float[Tensor, "sentence dep size"], head: Float[Tensor, "sentence head size"]
    ) -> Float[Tensor, "sentence dep label head"]:
        """Scores of all labels of all arcs. O(sentence * length * label * size * (size + length))."""
        num_labels, size, _ = self.bilinear.shape
        batch, length, _ = dep.shape
        keys, own = self.keys(dep)
        keys, own = keys.view(batch, length * num_labels, size), own.view(batch, length * num_labels, 1)
        return torch.baddbmm(own, keys, head.transpose(1, 2)).view(batch, length, num_labels, length)

    def keys(
        self, dep: Float[Tensor, "*row size"]
    ) -> tuple[Float[Tensor, "*row label size"], Float[Tensor, "*row label"]]:
        """A vector and a bias a label: whatever comes as heads, s(dep, head, label) = key . head + bias.

        w_label joins each word's own vector for a label. O(row * label * size^2).
        """
        num_labels, size, _ = self.bilinear.shape
        weight = self.bilinear.permute(0, 2, 1).reshape(-1, size)
        projected = F.linear(dep, weight, self.head.weight.flatten())
        return projected.unflatten(-1, (num_labels, size)), self.dep(dep)
