"""Adapters that learn to rank."""
