"""OpenAPI documents from the facts: what `kubectl explain`, `apply` and code generators read.

document(group, version, published)    OpenAPI v3 of one group and version
swagger(documents)                     OpenAPI v2 of everything
index(hashes), digest(...)             the index of v3, and cheap hashes for its addresses
"""

from sampan.api.openapi.documents import Published, digest, document, index
from sampan.api.openapi.swagger import swagger

__all__ = ["Published", "digest", "document", "index", "swagger"]
