"""The page as a person has it: Debian's Chromium, driven by Playwright, against a real daemon with its gateway.

One station for each module, since starting one is what costs; its tests follow one another. `site.py` is the station,
`visitor.py` who looks at it: every test fails on an error in the browser's console, a breach of the content security
policy included.
"""
