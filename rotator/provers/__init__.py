"""Test token requests and what their answers say about a secret; nothing here decides what follows from a verdict.

`request.ProofRequest` says what is asked, `client_credentials.ClientCredentialsProver` asks it. The rest is
apart so that each part can be read alone: `client_auth` (how the secret is sent), `answers` (what an endpoint meant),
`jwks` (whether a signature holds), `looking` (`rotator check`). How bytes travel stands in `rotator.wire`.
"""
