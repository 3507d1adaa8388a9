"""The scheduling service: its settings, requests, processes, and the Ray Serve application."""
