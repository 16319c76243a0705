"""Parsers: deepbiaf, stackptr, s2s and the ensembles of each; any generator of transformers as one of them."""
