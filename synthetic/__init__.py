"""Synthetic FHIR cohorts whose true delays are known, and a third-party FHIR server to serve them."""
