"""Reads the manifests of other projects: each becomes a corpus like any other, one YAML file and one joined table."""
