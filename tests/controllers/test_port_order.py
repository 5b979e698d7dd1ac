"""The order of ports, as Kubernetes 1.36.2 listed the same eight."""

from sampan.api.meta import Json
from sampan.controllers import port_order

PORTS: list[Json] = [
    {"name": letter, "port": number, "protocol": "UDP" if letter == "g" else "TCP"}
    for number, letter in enumerate("abcdefgh", 1)
]
PORTS[-1]["appProtocol"] = "z"


def _names(ports: list[Json]) -> str:
    return "".join(port["name"] for port in ports)


def test_slices_list_ports_by_the_hash_of_each() -> None:
    assert _names(port_order.of_slice(PORTS)) == "efbcghda"
    assert _names(port_order.of_slice(reversed(PORTS))) == "efbcghda"


def test_endpoints_hash_another_form_of_the_same_ports() -> None:
    assert _names(port_order.of_endpoints(PORTS)) == "cdgbafhe"


def test_the_protocol_that_is_left_out_is_tcp() -> None:
    bare = [{k: v for k, v in p.items() if v != "TCP"} for p in PORTS]
    assert _names(port_order.of_slice(bare)) == "efbcghda"


def test_the_hash_is_fnv_1a_of_128_bits() -> None:
    assert port_order.fnv128a(b"") == 0x6C62272E07BB014262B821756295C58D
    assert port_order.fnv128a(b"a") == 0xD228CB696F1A8CAF78912B704E4A8964
