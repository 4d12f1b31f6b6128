"""Writes shards as what other projects read: lists beside FLAC files, rows that hold their audio, or a description."""
