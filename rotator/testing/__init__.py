"""The conformance kit: what the author of a plug-in runs against it. Needs pytest, and is imported by nothing here."""
