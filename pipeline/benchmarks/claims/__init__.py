"""The paper's claims, measured part by part."""
