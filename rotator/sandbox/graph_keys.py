"""The part of Graph that adds and removes certificates, and lists federated credentials; it touches none of those.

After learn.microsoft.com "Update application", "application: addKey", "removeKey", "List federatedIdentityCredentials":
PATCH replaces the whole collection, and addKey and removeKey want a proof by the key of a certificate that is there.
"""

from __future__ import annotations

import uuid

from rotator.sandbox.exchange import Call, Refusal, Reply
from rotator.sandbox.graph import READS, Graph, key_credential
from rotator.sandbox.keys import WrittenKey
from rotator.sandbox.records import LOGS_IN


class GraphOfKeys(Graph):
    """The Graph routes, with those for certificates."""

    def update(self, call: Call) -> Reply:
        """PATCH /applications/{id}: keyCredentials only, and the whole collection at once."""
        caller = self._caller(call)
        app = self._addressed(call)
        self._may_write(caller, app)
        body = self._object(call)
        items = body.get("keyCredentials")
        if set(body) != {"keyCredentials"} or not isinstance(items, list):
            raise Refusal(self.error(400, message="Property cannot be updated in the sandbox."))
        wishes = [self._written(item) for item in items]
        self._ruled(lambda: self._ring.replace_all(app.app_id, wishes, by=caller.app_id))
        return Reply(204, None, self._headers())

    def add_key(self, call: Call) -> Reply:
        """POST /applications/{id}/addKey."""
        caller = self._caller(call)
        app = self._addressed(call)
        self._may_write(caller, app)
        body = self._object(call)
        wish, proof = self._written(body.get("keyCredential")), str(body.get("proof"))
        key = self._ruled(lambda: self._ring.add(app.app_id, wish, proof, by=caller.app_id))
        answer = {"@odata.context": self._context("microsoft.graph.keyCredential"), **key_credential(key, whole=False)}
        return self._answer(answer)

    def remove_key(self, call: Call) -> Reply:
        """POST /applications/{id}/removeKey."""
        caller = self._caller(call)
        app = self._addressed(call)
        self._may_write(caller, app)
        body = self._object(call)
        key_id, proof = str(body.get("keyId", "")), str(body.get("proof"))
        self._ruled(lambda: self._ring.remove(app.app_id, key_id, proof, by=caller.app_id))
        return Reply(204, None, self._headers())

    def federated(self, call: Call) -> Reply:
        """GET /applications/{id}/federatedIdentityCredentials."""
        self._permitted(self._caller(call), READS)
        found = [
            {
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{one.issuer}:{one.subject}")),
                "name": one.name,
                "issuer": one.issuer,
                "subject": one.subject,
                "audiences": ["api://AzureADTokenExchange"],
            }
            for one in self._addressed(call).federated
        ]
        return self._page(call, "federatedIdentityCredentials", found)

    def _written(self, item: object) -> WrittenKey:
        """Return a keyCredential of a request. A new one says what it is, and holds the certificate."""
        if not isinstance(item, dict):
            raise Refusal(self.error(400, message="Unable to read JSON request payload."))
        der, key_id = item.get("key"), item.get("keyId")
        kind = (str(item.get("type")), str(item.get("usage")))
        if der is not None and kind != LOGS_IN:
            raise Refusal(self.error(400, "KeyCredentialsInvalidType", "Key credential type or usage is invalid."))
        name = item.get("displayName")
        return WrittenKey(key_id, der, name, self._moment(item.get("endDateTime")), kind)
