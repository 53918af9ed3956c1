"""What a network looked at: methods, the answers that they explain, and how far they can be believed."""
