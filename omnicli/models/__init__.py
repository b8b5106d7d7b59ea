"""Clips to logits."""
