"""The page at `/`: what an operator sees from two metres, live, and the acts that the station's rules allow.

Here lives an ASGI application: rows that are made of the station's answers (pure), templates, one catalogue of texts in
three languages, one feed that all viewers share, static files.
Not here: rules. Everything is asked of the typed station and done by it; who somebody is, the gateway knows. No asset
from outside the station, no text in a template, no act by GET.
"""
