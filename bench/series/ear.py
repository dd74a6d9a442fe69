"""Hears the announcements of SSDP on a host's LAN link and prints each with its time: a witness that is not txigd."""

from __future__ import annotations

import json
import socket
import sys
import time

GROUP, PORT = "239.255.255.250", 1900


def main(address: str) -> None:
    """Listen until killed; ``address`` is the host's own on the link."""
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.bind((GROUP, PORT))
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(address))
    print(json.dumps({"at": time.monotonic(), "ready": True}), flush=True)
    while True:
        data, (source, _) = ear.recvfrom(65535)
        lines = [line.partition(":") for line in data.decode("latin-1").split("\r\n")]
        fields = {name.strip().upper(): value.strip() for name, _, value in lines}
        if "NTS" in fields:
            print(json.dumps({"at": time.monotonic(), "nts": fields["NTS"], "source": source}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
