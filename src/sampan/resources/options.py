"""Options that are named as the kind of a subresource in discovery but have no collection."""

from __future__ import annotations

from sampan.api.meta import ResourceId

NODE_PROXY_OPTIONS = ResourceId("", "v1", "nodeproxyoptions", "NodeProxyOptions", namespaced=False)
POD_ATTACH_OPTIONS = ResourceId("", "v1", "podattachoptions", "PodAttachOptions")
POD_EXEC_OPTIONS = ResourceId("", "v1", "podexecoptions", "PodExecOptions")
POD_PORT_FORWARD_OPTIONS = ResourceId("", "v1", "podportforwardoptions", "PodPortForwardOptions")
POD_PROXY_OPTIONS = ResourceId("", "v1", "podproxyoptions", "PodProxyOptions")
SERVICE_PROXY_OPTIONS = ResourceId("", "v1", "serviceproxyoptions", "ServiceProxyOptions")

PROXY_VERBS = ("create", "delete", "get", "patch", "update")
STREAM_VERBS = ("create", "get")
