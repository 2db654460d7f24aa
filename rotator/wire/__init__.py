"""One request and one answer over HTTP, bounded in every way, and what may be shown of the answer. Knows no vendor."""
