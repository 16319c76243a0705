"""Treebanks and semantic frames: reading, writing, fetching, generating; word vectors.  Nothing here imports torch."""
