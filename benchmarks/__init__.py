"""Benchmarks: each file runs alone and prints its figures."""
