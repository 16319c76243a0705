"""How candidates come about: dropout-p, search with its samplings, spanning trees and the k best of them."""
