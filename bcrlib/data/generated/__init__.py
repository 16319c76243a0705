"""The two generated corpora, trees and frames, and a toy task of dates."""
