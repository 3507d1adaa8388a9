"""Self-improvement: problems, samples of the network's outputs, and what is learned from them."""
