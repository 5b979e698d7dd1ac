"""The shape of what answers for a resource or subresource that is more than a stored object."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sampan.apiserver.call import Call
from sampan.apiserver.served import Served
from sampan.std.http import Response

Special = Callable[[Served, Call], Awaitable[Response]]
