"""Commands that change something while a daemon works on the state: the daemon does them, the caller follows.

`acts` says which there are, `wire` how they travel, `desk` is the daemon's side and `caller` the command's.
"""
