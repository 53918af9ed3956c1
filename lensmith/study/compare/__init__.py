"""Runs side by side: what differs in them, which is better, and whether that is more than noise."""
