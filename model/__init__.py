"""Networks that learn to schedule: features, training, decoding, checkpoints. Knows no Ray."""
