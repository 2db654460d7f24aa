# What rotator needs in Vault or OpenBao, and no more. Replace:
#   kv         the mount that consumers read (stores.*.mount), KV version 2
#   partners   the folder of the paths that rotator writes; repeat the first two rules for each folder or path
#   rotator    the staging mount (stores.*.staging_mount), KV version 2; no consumer may have a right on it
#
#   vault policy write rotator vault-policy.hcl

# The documents that consumers read: their next version is written, none is ever deleted.
path "kv/data/partners/*" {
  capabilities = ["create", "read", "update"]
}

# How many versions there are, and how long they are kept.
path "kv/metadata/partners/*" {
  capabilities = ["read", "list"]
}

path "kv/config" {
  capabilities = ["read"]
}

# The staging mount belongs to rotator: claims, values that are not proved yet, and their removal.
path "rotator/*" {
  capabilities = ["create", "read", "update", "list", "delete"]
}

# Its own token: how long it lives, a longer life, what it may do, and its end when rotator stops.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}

path "sys/capabilities-self" {
  capabilities = ["update"]
}
