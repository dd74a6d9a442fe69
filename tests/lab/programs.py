"""Small programs that run inside a host of the lab, by `python -c`, with nothing but the standard library."""

from __future__ import annotations

ECHO = """
import socket, sys
kind, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
with socket.socket(family, socket.SOCK_STREAM if kind == "TCP" else socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("", port))
    if kind == "TCP": s.listen(16)
    print("ready", flush=True)
    while True:
        if kind == "TCP":
            c, peer = s.accept()
            with c:
                while data := c.recv(65536): c.sendall(b"echo:" + data)
        else:
            data, peer = s.recvfrom(65536); s.sendto(b"echo:" + data, peer)
"""
ASK = """
import base64, socket, sys
kind, host, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
data = base64.b64decode(sys.argv[5])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family, socket.SOCK_STREAM if kind == "TCP" else socket.SOCK_DGRAM) as s:
    s.settimeout(seconds)
    s.connect((host, port)); s.send(data)
    if kind == "TCP": s.shutdown(socket.SHUT_WR)
    answer = b""
    while True:
        part = s.recv(65536); answer += part
        if kind == "UDP" or not part: break
    print(base64.b64encode(answer).decode())
"""
SEARCH = r"""
import socket, sys, time
target, seconds, expect = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
found = set()
request = f'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {target}\r\n\r\n'
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
    s.sendto(request.encode(), ("239.255.255.250", 1900))
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not 0 < expect <= len(found):
        s.settimeout(left)
        try:
            lines = s.recv(65536).decode().splitlines()
        except TimeoutError:
            break
        for line in lines:
            if line.lower().startswith("location:"): found.add(line[9:].strip())
print("\n".join(found))
"""
