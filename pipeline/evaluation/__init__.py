"""Comparing schedulers: cases, measures, the document and its report."""
