"""One command per file: parse words, call one function below, print. No rules live here."""
