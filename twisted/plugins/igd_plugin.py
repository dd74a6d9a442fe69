"""What Twisted reads at every start of every `twistd`: the name of our daemon, and nothing that imports txigd."""

from twisted.application.service import ServiceMaker

igd = ServiceMaker("txigd", "txigd.service", "UPnP Internet Gateway control point", "igd")
