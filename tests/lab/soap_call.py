"""One action of the router's IPv6 firewall, asked by itself: prints what came back, a word or two.

python -m tests.lab.soap_call URL ACTION [from=ADDRESS] [NAME=VALUE...]
"""

from __future__ import annotations

import http.client
import sys
import urllib.parse

from txigd.errors import ActionError
from txigd.upnp.control import soap

SERVICE = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"


def main(url: str, action: str, *words: str) -> str:
    """The error code, or the values that came back."""
    arguments = dict(word.split("=", 1) for word in words)
    source = arguments.pop("from", "")
    split = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(
        split.hostname or "", split.port, timeout=5, source_address=(source, 0) if source else None
    )
    headers = {"SOAPACTION": f'"{SERVICE}#{action}"', "Host": split.netloc, "Content-Type": 'text/xml; charset="utf-8"'}
    connection.request("POST", "/ctl/IP6FCtl", soap.request(SERVICE, action, list(arguments.items())), headers)
    reply = connection.getresponse()
    try:
        return " ".join(soap.read_reply(action, reply.status, reply.read(), ()).values()) or "done"
    except ActionError as error:
        return str(error.code)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
