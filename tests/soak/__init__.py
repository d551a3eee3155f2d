"""The soak test: a real station under load for minutes. Nothing here runs with `make test`; `make soak` runs it."""
