"""Rotates OAuth2 client credentials: create, stage, prove, promote, drain, retire; imports nothing by itself."""

__version__ = "0.1.0"
