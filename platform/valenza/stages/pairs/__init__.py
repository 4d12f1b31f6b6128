"""Pairs of candidate sequences, of which people prefer one."""
