"""Making datasets: where problems come from, one shard, and running them all."""
