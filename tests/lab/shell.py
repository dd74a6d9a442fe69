"""A person's shell in the client host: the verbs of the lab as commands, answered by the process that owns the lab."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from .lab import CLIENT, Lab
from .namespaces import LabError

HELP = """\
You are in the host `client` (192.168.77.2) behind a real miniupnpd. Nothing here reaches the outside.

  router     192.168.77.1 inside, {wan} outside      internet   11.22.33.1
  neighbour  192.168.77.3, another client on the LAN

  drop-wan [ROUTER]                 the router's WAN link goes down
  restore-wan [ROUTER]              ... and comes back
  change-address ADDRESS [ROUTER]   the router gets another WAN address
  kill-router [ROUTER]              power off: no goodbye, NAT rules gone
  restart-router [ROUTER]           power cycle
  add-router NAME                   one more router on the LAN
  block-ssdp, unblock-ssdp          discovery by multicast stops reaching this host
  foreign-mapping PORT              the neighbour takes an external TCP port
  rules [ROUTER]                    the router's nftables rules
  router-log [ROUTER]               what miniupnpd has logged
  location [ROUTER]                 the URL of its description
  on HOST COMMAND...                run a program in another host, e.g.: on internet nc {wan} 8080
  lab-help                          this text

  try: twistd -n igd --map tcp:8080      upnpc -s      exit, to leave and remove it all
"""

# `on` needs a terminal and therefore runs right here; every other verb is a question to the owner of the lab.
ON = '#!/bin/sh\n[ $# -ge 2 ] || { echo "usage: on HOST COMMAND..." >&2; exit 2; }\nexec ip netns exec "$@"\n'
VERB = """#!/bin/sh
exec {python} -ISc 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall("\\0".join(sys.argv[2:]).encode()); s.shutdown(socket.SHUT_WR)
status, _, text = b"".join(iter(lambda: s.recv(65536), b"")).decode().partition("\\n")
(sys.stderr if int(status) else sys.stdout).write(text); sys.exit(int(status))' {socket} {verb} "$@"
"""


def verbs(lab: Lab) -> dict[str, Callable[..., object]]:
    """Command name -> what it does; a returned string is printed."""
    return {
        "drop-wan": lambda name="router": lab.drop_wan(name),
        "restore-wan": lambda name="router": lab.restore_wan(name),
        "change-address": lambda new, name="router": lab.change_address(new, name=name),
        "kill-router": lambda name="router": lab.kill_router(name),
        "restart-router": lambda name="router": lab.restart_router(name).location(),
        "add-router": lambda name: lab.add_router(name).location(),
        "block-ssdp": lambda: lab.block_ssdp(),
        "unblock-ssdp": lambda: lab.unblock_ssdp(),
        "foreign-mapping": lambda port: lab.add_foreign_mapping(int(port)),
        "rules": lambda name="router": lab.router_rules(name),
        "router-log": lambda name="router": lab.routers[name].log_file.read_text(errors="replace"),
        "location": lambda name="router": lab.location(name),
        "lab-help": lambda: help_text(lab),
    }


def help_text(lab: Lab) -> str:
    return HELP.format(wan=lab.routers["router"].wan_addresses[-1])


def answer(table: dict[str, Callable[..., object]], words: Sequence[str]) -> tuple[int, str]:
    """Do one verb: (exit status, text for the person)."""
    verb, *arguments = words
    try:
        said = table[verb](*arguments)
    except TypeError:
        return 2, f"{verb}: wrong number of arguments; see lab-help\n"
    except KeyError as unknown:
        return 1, f"{verb}: there is no router {unknown}\n"
    except (LabError, ValueError, OSError) as error:
        return 1, f"{verb}: {error}\n"
    return 0, f"{str(said).rstrip()}\n" if said is not None else ""


@contextlib.contextmanager
def commands(lab: Lab):
    """A folder with one executable for each verb, served while the block runs."""
    folder = lab.folder / "bin"
    folder.mkdir()
    socket = lab.folder / "verbs"
    table = verbs(lab)

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            status, text = answer(table, self.rfile.read().decode().split("\0"))
            self.wfile.write(f"{status}\n{text}".encode())

    for verb in table:
        script = VERB.format(python=shlex.quote(sys.executable), socket=shlex.quote(str(socket)), verb=verb)
        (folder / verb).write_text(script, encoding="utf-8")
    (folder / "on").write_text(ON, encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(0o755)
    with socketserver.UnixStreamServer(str(socket), Answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield folder
        server.shutdown()


def enter(lab: Lab, argv: Sequence[str]) -> int:
    """Run `argv`, or an interactive shell, in the client host with the verbs on PATH. Returns its exit status."""
    with commands(lab) as folder:
        path = [str(folder), str(Path(sys.executable).parent), lab.net.environment()["PATH"]]
        environment = lab.net.environment({"PATH": os.pathsep.join(path)})
        if not argv:
            print(help_text(lab))
            rc = lab.folder / "bashrc"
            rc.write_text("PS1='[lab client] \\w \\$ '\n", encoding="utf-8")
            argv = ["bash", "--noprofile", "--rcfile", str(rc), "-i"]
        # Interrupts typed at the terminal are for the program in the lab: unlike SIG_IGN, a function is not inherited.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            return subprocess.run(lab.net.command(CLIENT, argv, Path.cwd()), env=environment, check=False).returncode
        finally:
            signal.signal(signal.SIGINT, before)
