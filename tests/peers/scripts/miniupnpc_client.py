"""What a program with the Python package miniupnpc does with a gateway; prints JSON. For the peers' Python."""
# mypy: ignore-errors

from __future__ import annotations

import json

import miniupnpc

upnp = miniupnpc.UPnP(multicastif="lan", discoverdelay=500)
said = {"discovered": upnp.discover(), "control_url": upnp.selectigd(), "our_address": upnp.lanaddr}
said["external"] = upnp.externalipaddress()
said["status"] = upnp.statusinfo()
said["type"] = upnp.connectiontype()
said["added"] = upnp.addportmapping(8082, "TCP", upnp.lanaddr, 8080, "from Python", "", 600)
said["specific"] = upnp.getspecificportmapping(8082, "TCP")
said["generic"] = upnp.getgenericportmapping(0)
said["past_the_end"] = upnp.getgenericportmapping(1)
try:
    upnp.addportmapping(8083, "TCP", upnp.lanaddr, 8080, "taken", "", 600)
except Exception as error:  # it raises plain Exception
    said["conflict"] = str(error)
said["deleted"] = upnp.deleteportmapping(8082, "TCP")
print(json.dumps(said))
