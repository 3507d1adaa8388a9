"""The search for hyperparameters on Ray Tune."""
