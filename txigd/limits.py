"""Every bound and period in one place, each with the attack or the rule that sets it.

Octets, counts and seconds, as the names say. Ids such as A3 or L22 name rows of the threat model in docs/threats.md;
Q-ids name rows of the quirk catalogue; UDA is the UPnP Device Architecture.
"""

from __future__ import annotations

from typing import Final

# -- discovery ------------------------------------------------------------------------------------------------------
SSDP_PORT: Final = 1900
SSDP_GROUP_V4: Final = "239.255.255.250"
SSDP_GROUP_V6_LINK: Final = "ff02::c"
SSDP_GROUP_V6_SITE: Final = "ff05::c"
MULTICAST_TTL: Final = 2  # UDA 1.1 section 1: default TTL 2
DATAGRAM_OCTETS: Final = 2048  # one MTU is normal (A1); one octet more is asked for, so that truncation shows
SSDP_HEADERS: Final = 32  # real messages carry fewer than 15 (A1)
SSDP_LINE_OCTETS: Final = 1024  # A1
USN_OCTETS: Final = 256  # A1
LOCATION_OCTETS: Final = 512  # A1; real ones stay below 200
SSDP_PER_SOURCE_PER_SECOND: Final = 200  # real LANs stay below 20/s; bounds CPU under a flood (A3)
SSDP_PER_SECOND: Final = 2000  # of all sources but the routers together: forged sources get no further (A3)
SSDP_SOURCES: Final = 256  # rate counters kept at once (A3)
SSDP_BUFFER_OCTETS: Final = 256 * 1024  # Q010: fifty devices answer at once; the usual default takes about 200 answers
SIGHTINGS: Final = 64  # devices tracked (A3)
SIGHTINGS_PER_SOURCE: Final = 4  # A3
LOCATIONS_PER_DEVICE: Final = 4  # A3, Q038
USNS_PER_SIGHTING: Final = 32  # an IGD:2 has about 13; the rest adds nothing (A3)
MAX_AGE_DEFAULT: Final = 1800  # Q032
MAX_AGE_FLOOR: Final = 120  # A2: no flapping on tiny values (Q031)
MAX_AGE_CEILING: Final = 86_400  # A2
EXPIRY_GRACE_SECONDS: Final = 10.0  # UDA 1.0 section 1.5: "give a grace of some seconds"
SEARCH_MX: Final = 2  # answers spread over 2 s at most
SEARCH_OFFSETS_SECONDS: Final = (0.0, 1.0, 3.0)  # the 2004 note: UDP gets lost, send again after a moment (Q001)
SEARCH_FALLBACK_SECONDS: Final = 6.0  # Q004: the last send, its MX and a second more have passed without an answer
SEARCH_ALL_MX: Final = 5  # Q010: to ssdp:all every device gives several answers
SEARCH_V6_DELAY_SECONDS: Final = 0.5  # Q008: both families at once make a Fritz!Box answer with broken data
PROBE_OFFSETS_SECONDS: Final = (0.0, 1.0)  # a unicast search is sent twice (Q001)
GROUP_REJOIN_SECONDS: Final = 300.0  # F56: snooping switches without a querier forget members
SOCKET_RETRY_SECONDS: Final = 5.0  # a socket that could not be made: a new IPv6 address is unusable for about 2 s
LOG_AGAIN_SECONDS: Final = 60.0  # F15, B11: the same trouble is logged once in this time
# F02: while nothing is found, pauses between searches. The first one leaves SEARCH_FALLBACK_SECONDS and its forms their
# time; a router restarts within two minutes; a host that never finds one searches its network every 300 s.
SEARCH_AGAIN_SECONDS: Final = (10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
REMEMBERED_PLACES: Final = 4  # asked one after the other where nobody answers; a dead one costs HTTP_CONNECT_SECONDS
LATE_ANSWER_SECONDS: Final = 10.0  # Q042: answers with the old BOOTID wait for MX, 5 s at most, and for a slow link
BYEBYE_PROBE_SECONDS: Final = 30.0  # at most one probe per device in this time, in the long run (A5)
# A5: believed without a pause. A router that is being set up, or has a loose plug, restarts several times in a row; a
# storm of BOOTIDs costs as many fetches of a description, and then one in BYEBYE_PROBE_SECONDS.
REBOOTS_AT_ONCE: Final = 6
CACHE_SECONDS: Final = 1.0  # for all questions to a minissdpd; it answers from memory, in milliseconds
CACHE_OCTETS: Final = 16 * 1024  # of one answer; minissdpd cuts its own at 4 KiB
CACHE_ENTRIES: Final = 16  # taken from a minissdpd at once: they name hosts that did not speak to us

# -- addressing ------------------------------------------------------------------------------------------------------
LINKS: Final = 32  # links watched at once; container hosts have hundreds of dead veths
LINKLESS_POLL_SECONDS: Final = 0.5  # while there is none: a cable or a lease that comes late is used at once
ADDRESS_LIST_OCTETS: Final = 256 * 1024  # of /proc/net/if_inet6; a host with 4000 addresses
LINK_POLL_SECONDS: Final = 5.0  # how often addresses and default routes are compared
SLEPT_SECONDS: Final = 10.0  # a look at the links that is this late: the host slept (F18)

# -- HTTP --------------------------------------------------------------------------------------------------------------
HTTP_CONNECT_SECONDS: Final = 3.0  # B2
# F46: a connection that is not made by then is begun anew; the last one has all the rest. Hosts of a LAN answer within
# 0.1 s, while a kernel repeats a lost SYN after a second only; 250 ms are what RFC 8305 leaves between two attempts.
# With 30 % loss each way 0.4 % of all connections are not made in HTTP_CONNECT_SECONDS, instead of 10 % (of 500 each).
HTTP_AGAIN_SECONDS: Final = (0.25,) * 6
HTTP_TOTAL_SECONDS: Final = 10.0  # B2: connect to last octet
HTTP_PATIENT_SECONDS: Final = 30.0  # UDA lets a device take 30 s: second try for the next hop or a named gateway
HTTP_SETTLE_SECONDS: Final = 1.0  # silence after a reply that is whole but for its framing (Q046, Q047)
HTTP_OVERHEAD_OCTETS: Final = 16 * 1024  # headers, interim replies and chunk framing together (L3, L6)
HTTP_HEADERS: Final = 64  # L3
HTTP_LINE_OCTETS: Final = 8 * 1024
DESCRIPTION_OCTETS: Final = 256 * 1024  # largest real ones are about 20 KiB (B1)
SCPD_OCTETS: Final = 256 * 1024
SOAP_OCTETS: Final = 64 * 1024
MAPPING_LIST_OCTETS: Final = 512 * 1024  # 128 entries of 362 octets fit; miniupnpd 2.3.11 sends 362 kB for 1000
DESCRIPTION_FETCHES: Final = 4  # at once, all devices together: no SSDP -> HTTP amplification
DESCRIPTION_RETRY_SECONDS: Final = 60.0  # negative cache, doubled up to the ceiling
DESCRIPTION_RETRY_CEILING_SECONDS: Final = 3600.0
DESCRIPTION_FETCHES_PER_MINUTE: Final = 10  # unpinned; also bounds lxml's name store (L22): see XML_NAMES
# A gateway that was named or is remembered is asked for ever, this far apart at most: it is back within 65 s (F02) even
# where all of SSDP is dropped, connection and first calls included.
NAMED_RETRY_CEILING_SECONDS: Final = 30.0
DOUBT_AGAIN_SECONDS: Final = 2.0  # A5: a device in doubt that does not answer is asked once more after this
BOOT_RETRY_SECONDS: Final = 60.0  # Q052: a gateway's first description after boot may be empty
# Q052: or without its WAN device. A default router that never was a gateway, but says that it is one, is read this far
# apart at most, half as often as the poll reads one that works; what was named or in use: NAMED_RETRY_CEILING_SECONDS.
UNREADY_CEILING_SECONDS: Final = 60.0

# -- XML ---------------------------------------------------------------------------------------------------------------
XML_DEPTH: Final = 32  # IGD depth is about 9 (L17)
XML_ELEMENTS: Final = 10_000  # B5
XML_ATTRIBUTES: Final = 32  # per element; dict(el.attrib) is quadratic (X20)
XML_TEXT_OCTETS: Final = 64 * 1024  # one text node
XML_EXCERPT_CHARACTERS: Final = 80  # first printable characters of what is no description, for the error text (Q055)
XML_REPAIR_OCTETS: Final = 64 * 1024  # the byte repair costs up to 49 ms at 256 KiB (X25)
XML_NAMES: Final = 256  # different names per document (B13); real ones have fewer than 100
XML_NAMES_CHARACTERS: Final = 8 * 1024  # and their length together
# L22: lxml keeps every name it ever parsed for the life of the thread. Uncounted, a hostile 256 KiB document leaves
# 0.75 to 0.91 MB behind; with the two bounds above 14 kB at most (measured, lxml 6.1.3), and nothing if it breaks them.
# A bad source waits 60 s, doubled to an hour, which makes 30 tries on the first day: 64 tracked sources leave 27 MB,
# one hostile host (4 sightings) 2 MB. Good descriptions under ever new names are held by DESCRIPTION_FETCHES_PER_MINUTE
# alone: 200 MB a day at worst. SCPDs, SOAP replies and events come from a gateway in use only.

# -- device tree -------------------------------------------------------------------------------------------------------
TREE_DEVICES: Final = 32
TREE_DEPTH: Final = 5
TREE_SERVICES: Final = 64
TREE_ICONS: Final = 16  # per device
TREE_TEXT_CHARACTERS: Final = 512  # friendlyName and its like; UDA asks for fewer than 128
TREE_PROBLEMS: Final = 32  # told per description
SCPD_ACTIONS: Final = 128
SCPD_ARGUMENTS: Final = 64
SCPD_VARIABLES: Final = 512
NAME_OCTETS: Final = 128  # action, argument and variable names

# -- control -----------------------------------------------------------------------------------------------------------
ERROR_TEXT_CHARACTERS: Final = 256  # of errorDescription, UDA section 3.2.2; it is shown and logged
ROUTES: Final = 64  # control URLs whose detour (M-POST, another path) is remembered, as many as TREE_SERVICES
LARGE_REPLIES: Final = {"GetListOfPortMappings": MAPPING_LIST_OCTETS}  # actions whose reply may exceed SOAP_OCTETS
CALLS_WAITING: Final = 256  # queued behind the one call in flight per gateway (Q103)
CALL_DUE_SECONDS: Final = 10.0  # F46: a call may take so long: what runs out sooner than this cannot wait for one more
RENEWAL_DUE_SECONDS: Final = 30.0  # F46: before looks, which are due after VERIFY_SECONDS, and behind those who wait
# F46: what used to be answered in half this time is asked for again after it, with all the time that is left. The waits
# of TCP double with each loss: with 30 % loss each way 1 % of all replies take more than HTTP_TOTAL_SECONDS, with this
# none of 500. A gateway that takes its time is asked once, as ever. Not less than HTTP_CONNECT_SECONDS.
CALL_HASTY_SECONDS: Final = 3.0
MAPPING_WALK: Final = 4096  # entries read from one table (Q137)
MAPPING_LIST_SAFE: Final = (
    100  # entries of a table that may be asked for as a list: margin below the 132 that kill miniupnpd 2.3.1
)
MAPPING_LIST_NARROW: Final = 128  # ports of the narrowest list: what every gateway survives; 10 halvings, 512 lists
MAPPING_LIST_FULL: Final = 128  # entries of a list that may have been cut: asked for again in halves

# -- eventing ----------------------------------------------------------------------------------------------------------
SUBSCRIBE_SECONDS: Final = 1800  # UDA 4.1
GRANT_DEFAULT_SECONDS: Final = 300  # Q164: absent TIMEOUT
GRANT_INFINITE_SECONDS: Final = 1800  # "infinite" is renewed now and then all the same
GRANT_FLOOR_SECONDS: Final = 60  # C9: no hot loop on Second-0
GRANT_CEILING_SECONDS: Final = 86_400  # C9
RENEW_FRACTION: Final = 0.5
RENEW_JITTER: Final = 0.1
RESUBSCRIBE_FLOOR_SECONDS: Final = 30.0  # C9: at most one fresh SUBSCRIBE per service in this time after failures
EVENTS_VERIFY_SECONDS: Final = 15.0  # txigd subscribe: a device that dies sends nothing, so it is asked now and then
DEVICE_GRACE_SECONDS: Final = 90.0  # txigd subscribe: a gateway restarts within a minute (BOOT_RETRY_SECONDS)
REFUSED_RETRY_SECONDS: Final = 3600.0  # F06: a gateway that refuses SUBSCRIBE is polled and asked again hourly
EVENT_LATE_SECONDS: Final = 5.0  # Q174: news of the line that no event told in this time put the subscription in doubt
EVENTS_DOUBT_SECONDS: Final = 30.0  # Q174: between two renewals for that reason; doubled each time that all was well,
EVENTS_DOUBT_CEILING_SECONDS: Final = 3600.0  # up to this: miniupnpd never tells that the link dropped
INITIAL_EVENT_SECONDS: Final = 5.0  # Q158: no initial event after this -> state is read by action
SEQ_GAP_SECONDS: Final = 2.0  # F08: reordering window
SID_OCTETS: Final = 256  # C9
NOTIFY_OCTETS: Final = 64 * 1024  # C6
EARLY_EVENTS: Final = 4  # per pending token (C2)
CALLBACK_CONNECTIONS: Final = 32  # C5
CALLBACK_CONNECTIONS_PER_PEER: Final = 8  # C5
CALLBACK_SECONDS: Final = 10.0  # L8
CALLBACK_HEADERS: Final = 64
CALLBACK_HEADER_OCTETS: Final = 8 * 1024
CALLBACK_BACKLOG: Final = 16
TOKEN_OCTETS: Final = 32  # 256 bit, 43 characters of URL-safe base64
OLD_TOKEN_SECONDS: Final = 30.0  # a replaced path stays valid this long
UNSUBSCRIBE_SECONDS: Final = 2.0  # F51: the farewell must not hold up a stop
RENEW_AGAIN_SECONDS: Final = 1.0  # F05: a renewal that failed by accident gets a second try before a fresh SUBSCRIBE
HELD_EVENTS: Final = 16  # newer than a missing one, kept for the reordering window (F08)
EVENT_CALLBACK_SECONDS: Final = 1.0  # F13: a flood of events becomes one callback in this time, in the long run
EVENT_FOLLOW_SECONDS: Final = 0.2  # after a rest: a change is often told twice, the old value first (miniupnpd)
CALLBACK_LINE_OCTETS: Final = 4 * 1024  # one header line (threats section 4)
NOTIFY_SETTLE_SECONDS: Final = 0.5  # F12, Q178: wait for octets that length and root element disagree about
CALLBACK_LINGER_SECONDS: Final = 2.0  # closing on unread octets resets the connection and loses our answer (Q174)
EVENT_PORT: Final = 7900  # of multicast events (UDA 1.1 section 4.3)
EVENT_GROUP_V4: Final = "239.255.255.246"
EVENT_GROUP_V6_LINK: Final = "ff02::130"
EVENT_GROUP_V6_SITE: Final = "ff05::130"
EVENT_OCTETS: Final = 8 * 1024  # of one multicast event; it is meant to fit one packet
EVENTS_PER_SOURCE_PER_SECOND: Final = 20  # multicast ones; nobody answers them, so nothing slows a sender down
EVENTS_PER_SECOND: Final = 100  # of all sources together: each may cost an XML document
EVENT_PUBLISHERS: Final = 256  # services whose last SEQ is remembered, as many as may be observed
EVENT_REPEATS: Final = 16  # copies of so many SEQs back are repeats, anything older is a new count
EVENT_REPEAT_SECONDS: Final = 30.0  # without BOOTID, what comes after a silence like this is a new count

# -- WAN state ---------------------------------------------------------------------------------------------------------
SETTLE_SECONDS: Final = 0.15  # quiet after an event before the read: miniupnpd's first event has the old value
SETTLE_CEILING_SECONDS: Final = 0.5  # a storm of events delays the read this long at most
SOON_SECONDS: Final = 0.3  # a read that brought no news was too early: again after this, to tell it within a second
CONFIRM_SECONDS: Final = 1.5  # last read after a burst: 10-31 % of address changes get lost at miniupnpd
POLL_SECONDS: Final = 28.0  # link drops are never evented by miniupnpd; told within 30 s, so 2 s are left for the read
POLL_FLOOR_SECONDS: Final = 1.0  # a read is two calls or more, of a device that is asked one thing at a time (Q103)
POLL_CEILING_SECONDS: Final = 86_400.0  # rarer than once a day is no cross-check any more
ANSWER_SECONDS: Final = 20.0  # a user who asks for the address hears by then: two actions of HTTP_TOTAL_SECONDS
UNREACHABLE_READS: Final = 2  # failed reads in a row before a gateway counts as unreachable
UPTIME_FALL_CEILING_SECONDS: Final = 3600.0  # Q152: a gateway whose uptime falls for ever is looked at this often
FLAP_STEPS: Final = 6  # changes told in FLAP_SECONDS before a line counts as flapping (F38, Q147)
FLAP_SECONDS: Final = 60.0
CALM_SECONDS: Final = 3.0  # while it flaps, anything but a drop is told when it has stood this long
TRAFFIC_SECONDS: Final = 10.0  # between two readings of counters; ui4 octets wrap within 34 s at 1 Gbit/s
LINK_PROPERTIES_SECONDS: Final = 300.0  # line rates hardly ever change
RATE_CEILING: Final = 12_500_000_000.0  # octets a second, 100 Gbit/s: what is counted faster is nonsense (Q152)
OBSERVERS: Final = 1024
WAITERS: Final = 1024

# -- mappings ----------------------------------------------------------------------------------------------------------
MAPPINGS: Final = 16  # wanted at once unless the caller raises it (D6)
HELD_GENERATIONS: Final = 2  # all that may be wanted at once leave while as many others take their places (F54)
RECHECK_SECONDS: Final = 1.0  # after the table changed: one read-back for a burst of changes
# D6, F30: looks because of table events that are not paced. Our own mappings, when all are added, take a few; after
# these, one in TABLE_LOOK_SECONDS: a neighbour's program that never rests makes our reads three times as many at most.
TABLE_LOOKS_AT_ONCE: Final = 6
TABLE_LOOK_SECONDS: Final = 30.0
DAY_SECONDS: Final = 86_400.0
LEASE_SECONDS: Final = 3600  # bounds what a SIGKILL leaves behind to an hour
LEASE_CEILING_SECONDS: Final = 604_800  # IGD:2 section 2.5: one week
PINHOLE_LEASE_CEILING_SECONDS: Final = 86_400  # WANIPv6FirewallControl:1: one day, none permanent (Q200)
PINHOLES: Final = 16  # wanted at once unless the caller raises it (D6)
LEFTOVERS_SECONDS: Final = 2.0  # a gateway's users say what they want when it was found; then the rest is closed
LEFTOVER_PINHOLE_SECONDS: Final = 60  # opened once more to learn its number, and closed at once
PINHOLE_SIGHT_SECONDS: Final = 5.0  # how long a new gateway may take to show itself over IPv6 too (Q008, Q001)
VERIFY_SECONDS: Final = 60.0  # each mapping is read back at least this often
READ_TRIES: Final = 3  # F37: what fails so often in a row is asked of the table by other means (Q116)
READS_IN_TROUBLE: Final = 64  # places of a table whose reading failed: more than are wanted and tried at once
UNREADABLE_SECONDS: Final = 120.0  # F34, F35: nonsense for so long will not pass; with a look seen within 300 s
PAGES_SECONDS: Final = 5.0  # Q116: the same of pages for people; a router that starts shows one and answers no add
TABLE_SECONDS: Final = 1.0  # F35: one walk serves all who look at this time
TABLE_WALKS: Final = 3  # in a row while we write to the table ourselves (Q137)
LOOK_APART_SECONDS: Final = 5.0  # what was just looked at is not looked at again because its turn comes
LOSS_ROUND_SECONDS: Final = 10.0  # a look at everything after a loss: what else is lost in this time, is lost with it
LOSS_PAUSE_SECONDS: Final = 120.0  # after a loss of one alone, the next one of the same: the others are left alone (D6)
LOSS_PAUSE_CEILING_SECONDS: Final = 3600.0  # doubled each time: a gateway that always drops one costs a look an hour
PORT_TRIES: Final = 4  # other external ports after a conflict (Q123, D6)
PORT_RANGE: Final = (49_152, 65_535)  # Q123
PICKS: Final = 8  # draws of a port until it is another one: of two ports, one of 256 times it is not
PORT_DOUBTS: Final = 4  # Q124: so often 501 before another port is tried, and
PORT_DOUBT_SECONDS: Final = 30.0  # for so long: by then POLL_SECONDS have told of a line that is down
RENEW_FLOOR_SECONDS: Final = 10.0  # D6: renewals are this far apart at least; a lease of 20 s and more is kept so
ADDS_AT_ONCE: Final = 5  # D6: what is dropped soon after it was made is made again at once so often in a day, then
ADDS_FREE: Final = 100  # so often with the floor in between, then ever more slowly, each RETRY_CEILING_SECONDS at last
LIFESPAN_LOSSES: Final = 3  # F34: so many losses that may have been of one age are a habit, and no accident
LIFESPAN_FRACTION: Final = 0.8  # of the least such age, before it is renewed
BLIND_SECONDS: Final = 1800.0  # F35: what cannot be read back is added again after this, however long its lease
RETRY_FIRST_SECONDS: Final = 1.0
RETRY_CEILING_SECONDS: Final = 300.0
HIDDEN_RETRY_SECONDS: Final = 600.0  # F27: behind a second NAT; an address that appears is told and ends it sooner
FAILURES_BORNE: Final = 3  # in a row, before what works until its lease ends counts as lost: one lost packet is no news
TRIES_BEFORE_THE_END: Final = 4  # F46: the next try comes after this part of what is left of a lease, at the latest
DESCRIPTION_TAG_OCTETS: Final = 63  # Q099

# -- journal and state file --------------------------------------------------------------------------------------------
JOURNAL_GATEWAYS: Final = 16  # a laptop's networks; the oldest is forgotten first
JOURNAL_ENTRIES: Final = 64  # of one gateway: MAPPINGS wanted, PORT_TRIES ports each at worst (D6)
JOURNAL_PINHOLES: Final = 64  # of one gateway
JOURNAL_PORTS: Final = 256  # wanted mappings whose external port is remembered (Q140)
JOURNAL_SLACK_SECONDS: Final = 120  # a request under way, a gateway's clock that runs 0.01 % slow
JOURNAL_SEEN_SECONDS: Final = 3600  # a gateway's last sight is kept to the hour: no write for every ssdp:alive
STATE_OCTETS: Final = 1024 * 1024  # D3; the fullest journal fits (the bounds above)
STATE_SAVE_SECONDS: Final = 1.0  # at most one write in this time, but for what must be on disk before it is done
STATE_RETRY_SECONDS: Final = 60.0  # F49: after a failed write
STATE_LOG_SECONDS: Final = 3600.0  # F49: a disk that stays full is logged this often

# -- process -----------------------------------------------------------------------------------------------------------
GATEWAY_PATIENCE_SECONDS: Final = 10.0  # the daemon says that it found no gateway after this, and looks on
HEARTBEAT_SECONDS: Final = 2  # how often the clocks are compared: a resume is noticed at once, a step within this
BLOCKED_SECONDS: Final = 1.0  # F59: a heartbeat that is this late was held up by something that blocks the reactor
CLOCK_STEP_SECONDS: Final = 2.0  # smaller differences are drift and rounding
MAP_FILE_CHARACTERS: Final = 64 * 1024  # of a file of mappings: sixteen lines and many remarks
FAREWELL_SECONDS: Final = 5.0  # UNSUBSCRIBE and deletes together
FAREWELL_CALLS: Final = 4  # F51: at once, of a gateway that takes its time; at any other time it is one (Q103)
LOG_CHARACTERS: Final = 120  # B11
LOG_FIELD_CHARACTERS: Final = 1000  # of one field of a line, whatever it is: our own sentences stay below
LOG_LINES: Final = 512  # of the daemon in LOG_AGAIN_SECONDS (B11)
DROP_REASONS: Final = 64  # distinct counter keys fed by the network

# -- simulated gateway (txigd.testing) ------------------------------------------------------------------------------
SIMULATED_MAPPINGS: Final = 1024  # entries of its table; real ones hold 32 to a few hundred
SIMULATED_PINHOLES: Final = 256
SIMULATED_LAN_ADDRESSES: Final = 64  # in each list of LANHostConfigManagement; DHCP itself has room for 63
SIMULATED_SUBSCRIBERS: Final = 256  # subscriptions of all services together; 503 beyond
SIMULATED_EVENTS: Final = 64  # undelivered NOTIFYs per subscription; the oldest is lost first
SIMULATED_NOTIFY_SECONDS: Final = 30.0  # UDA: an answer takes 30 s at most
SIMULATED_REQUESTS: Final = 1000  # remembered for tests to look at
SIMULATED_CONNECTIONS: Final = 256  # open HTTP connections
SIMULATED_REQUEST_OCTETS: Final = 64 * 1024  # body of one request; SOAP stays below 2 KiB
SIMULATED_ANSWERS: Final = 256  # search answers waiting for their random delay
RELAY_CONNECTIONS: Final = 256  # TCP connections through all mappings together
RELAY_FLOWS: Final = 256  # UDP peers through all mappings together; the quietest goes first
RELAY_FLOW_SECONDS: Final = 120.0  # RFC 4787: a UDP binding lives at least two minutes
RELAY_DATAGRAM_OCTETS: Final = 65_536

# -- support report ----------------------------------------------------------------------------------------------------
REPORT_OCTETS: Final = 8 * 1024 * 1024  # of a file; JSON may write what was captured at four times its size
REPORT_RAW_OCTETS: Final = 2 * 1024 * 1024  # captured altogether; real gateways stay below 300 kB
REPORT_RECORD_OCTETS: Final = 512 * 1024  # of one reply: the largest description and its header fit
REPORT_DATAGRAMS: Final = 256  # different ones; a gateway sends about 40
REPORT_STEPS: Final = 512  # a step for each description, call and subscription: TREE_SERVICES times eight
REPORT_EXCHANGES: Final = 8  # of one step, detours and retries included
REPORT_EVENTS: Final = 128  # two for each service
REPORT_WORDS: Final = 512  # lines of each part of our own view
REPORT_TEXT_CHARACTERS: Final = 512  # of one line of it
REPORT_SECRETS: Final = 256  # values looked for in everything; each costs a search through all of it
REPORT_SECONDS: Final = 120.0  # for all of it: what is not done by then is left out, and said so
REPORT_LISTEN_SECONDS: Final = 4.0  # SEARCH_OFFSETS_SECONDS, and a second for the last answers
REPORT_CALL_SECONDS: Final = 5.0  # one call; a gateway that needs longer is told by that
REPORT_EVENT_SECONDS: Final = 4.0  # for all first events; Q158 gateways that send them late send them within 2 s
REPORT_ENTRIES: Final = 3  # port mappings read, to show their form
REPORT_CONNECTIONS: Final = 16  # that bring events, at once
