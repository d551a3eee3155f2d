"""Tests of recorded calls: their files, their export, and how they are shown."""
