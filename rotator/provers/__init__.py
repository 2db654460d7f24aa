"""Test token requests and what their answers say about a secret; nothing here decides what follows from a verdict.

`request.ProofRequest` says what is asked, `client_credentials.ClientCredentialsProver` asks it. The rest is
apart so that each part can be read alone: `http` (how bytes travel), `client_auth` (how the secret is sent), `answers`
(what an endpoint meant), `jwks` (whether a signature holds), `cleaning` (what may be repeated to people), `looking`
(`rotator check`).
"""
