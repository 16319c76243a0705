"""Parsers: the deep biaffine parser and ensembles of it, from characters to trees."""
