"""How candidates come about: dropout-p, search with its samplings, spanning trees and the k best of them.

A new sampler is a module of this folder and one line here, `from bcrlib.samplers import name` (docs/add_a_sampler.md).
"""
