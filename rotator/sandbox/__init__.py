"""Issuers to practise on, on this machine only; no secret of theirs opens anything in the real world.

`server.Sandbox` is the door: an Entra-like directory (token endpoint and Graph) and two other vendors' token endpoints,
over real loopback HTTPS with their own CA. The demo uses them calm, the tests nasty; `weather` says how nasty.
"""
