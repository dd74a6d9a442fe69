"""What a program with the Python package upnpclient does with a gateway; prints JSON. For the peers' Python."""
# mypy: ignore-errors

from __future__ import annotations

import json
import sys

import upnpclient

(device,) = upnpclient.discover(timeout=2)
service = device.WANIPConn1
key = {"NewRemoteHost": "", "NewExternalPort": 8083, "NewProtocol": "UDP"}
wanted = {
    **key,
    "NewInternalPort": 8080,
    "NewInternalClient": sys.argv[1],
    "NewEnabled": "1",
    "NewPortMappingDescription": "upnpclient <&>",
    "NewLeaseDuration": 600,
}
said = {"name": device.friendly_name, "location": device.location, "services": [s.name for s in device.services]}
said["actions"] = sorted(action.name for action in service.actions)
said["external"] = service.GetExternalIPAddress()
said["status"] = service.GetStatusInfo()
said["added"] = service.AddPortMapping(**wanted)
said["entry"] = service.GetSpecificPortMappingEntry(**key)
try:
    service.GetSpecificPortMappingEntry(**{**key, "NewExternalPort": 8084})
except upnpclient.soap.SOAPError as error:
    said["absent"] = list(error.args)
try:
    service.AddPortMapping(**{**wanted, "NewProtocol": "SCTP"})
except upnpclient.ValidationError as error:  # our service description says what is allowed
    said["invalid"] = list(error.reasons)
said["deleted"] = service.DeletePortMapping(**key)
print(json.dumps(said))
