"""The command line: one command per file. Words → a typed command or query of the station → text or a document.

Here lives parsing, printing and exit codes; a module is imported only when its command is asked for.
Not here: rules, and the question whether a daemon runs (`station` answers it).
"""
