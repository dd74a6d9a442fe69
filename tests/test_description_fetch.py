"""txigd.upnp.description.fetch: what is asked of the exchange, and what becomes of the answer."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txigd import limits
from txigd.errors import ConnectFailed, DescriptionError, ExchangeTimeout, HTTPStatusError, ReplyTooLarge
from txigd.interfaces import IExchange
from txigd.upnp import url
from txigd.upnp.description.device import Service
from txigd.upnp.description.fetch import fetch_description, fetch_service
from txigd.upnp.description.fetches import Fetches
from txigd.upnp.http_reply import Reply

MESSAGES = Path(__file__).parent / "messages"
LOCATION = url.parse("http://192.0.2.1:1780/igd/root.xml")
SCPD = (MESSAGES / "scpd-WANIPConnection-1.xml").read_bytes()
WANIP = "urn:schemas-upnp-org:service:WANIPConnection:1"


@implementer(IExchange)
class ScriptedExchange:
    """Answers from a table of URLs; what is not in it refuses the connection."""

    def __init__(self, answers):
        self.answers = answers
        self.requests: list[tuple] = []

    def request(self, method, url, headers=(), body=b"", *, body_cap, seconds):
        self.requests.append((method, str(url), tuple(headers), body, body_cap, seconds))
        answer = self.answers.get(str(url), ConnectFailed())
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    @property
    def asked(self):
        return [request[1] for request in self.requests]


def described(base="", scpd="s.xml"):
    return Reply(
        200,
        body=f"<root>{base}<device><UDN>uuid:1</UDN><serviceList><service><serviceType>{WANIP}</serviceType>"
        f"<controlURL>c</controlURL><SCPDURL>{scpd}</SCPDURL></service></serviceList></device></root>".encode(),
    )


class FetchDescriptionTests(SynchronousTestCase):
    """Device descriptions."""

    def fetch(self, answers, **options):
        self.exchange = ScriptedExchange({str(LOCATION): answers} if not isinstance(answers, dict) else answers)
        return fetch_description(self.exchange, LOCATION, **options)

    def control_url(self, answers):
        description = self.successResultOf(self.fetch(answers))
        return str(description.root.services[0].control_url)

    def test_the_double_provides_the_seam(self):
        verifyObject(IExchange, ScriptedExchange({}))

    def test_the_request(self):
        description = self.successResultOf(self.fetch(described(), seconds=7.5))
        self.assertEqual(description.root.udn, "uuid:1")
        self.assertEqual(self.exchange.requests, [("GET", str(LOCATION), (), b"", limits.DESCRIPTION_OCTETS, 7.5)])

    def test_Q056_the_first_try_takes_ten_seconds(self):
        self.successResultOf(self.fetch(described()))
        self.assertEqual(self.exchange.requests[0][-1], 10.0)

    def test_Q056_further_tries_of_a_patient_fetch_take_thirty(self):
        clock, exchange = Clock(), ScriptedExchange({str(LOCATION): Reply(200)})
        fetched = Fetches(clock).get(exchange, LOCATION, patient=True, again=False)
        clock.pump([1.0] * 3)
        exchange.answers[str(LOCATION)] = described()
        clock.pump([1.0] * 4)
        self.assertIsNotNone(self.successResultOf(fetched))
        self.assertEqual([request[-1] for request in exchange.requests], [10.0, 30.0, 30.0, 30.0])

    def test_Q056_a_device_of_no_interest_gets_ten_seconds_once(self):
        clock, exchange = Clock(), ScriptedExchange({})
        fetched = Fetches(clock).get(exchange, LOCATION, patient=False, again=False)
        self.failureResultOf(fetched, ConnectFailed)
        self.assertEqual([request[-1] for request in exchange.requests], [10.0])

    def test_Q052_status(self):
        error = self.failureResultOf(self.fetch(Reply(404, body=b"<html>gone</html>")), HTTPStatusError).value
        self.assertEqual((error.status, error.excerpt), (404, "<html>gone</html>"))
        self.failureResultOf(self.fetch(Reply(204)), HTTPStatusError)

    def test_Q052_empty(self):
        self.failureResultOf(self.fetch(Reply(200)), DescriptionError)

    def test_Q055_login_page_with_status_200(self):
        page = Reply(200, body=b"<!DOCTYPE html><html><title>Log in</title></html>")
        self.assertIn("Log in", str(self.failureResultOf(self.fetch(page), DescriptionError).value))

    def test_Q060_content_type_does_not_matter(self):
        body = (MESSAGES / "description-igd1.xml").read_bytes()
        for headers in ((), (("Content-Type", "application/octet-stream"),)):
            self.successResultOf(self.fetch(Reply(200, headers=headers, body=body)))

    def test_errors_pass(self):
        for error in (ConnectFailed(), ExchangeTimeout(), ReplyTooLarge()):
            self.assertIs(self.failureResultOf(self.fetch(error)).value, error)

    def test_cancelling_closes_the_exchange(self):
        cancelled: list[object] = []
        fetched = self.fetch(Deferred(cancelled.append))
        fetched.cancel()
        self.failureResultOf(fetched, CancelledError)
        self.assertEqual(len(cancelled), 1)

    def test_a_deferred_of_its_own_for_each_caller(self):
        exchange = ScriptedExchange({str(LOCATION): described()})
        self.assertIsNot(fetch_description(exchange, LOCATION), fetch_description(exchange, LOCATION))

    def test_Q062_urlbase_on_another_port_that_answers(self):
        base = described("<URLBase>http://192.0.2.1:5678/</URLBase>")
        for answer in (Reply(200, body=SCPD), Reply(200, body=b"nonsense")):
            answers = {str(LOCATION): base, "http://192.0.2.1:5678/s.xml": answer}
            self.assertEqual(self.control_url(answers), "http://192.0.2.1:5678/c")
            self.assertEqual(
                self.exchange.requests[1],
                ("GET", "http://192.0.2.1:5678/s.xml", (), b"", limits.SCPD_OCTETS, limits.HTTP_CONNECT_SECONDS),
            )

    def test_Q062_urlbase_on_another_port_that_leads_nowhere(self):
        base = described("<URLBase>http://192.0.2.1</URLBase>")
        for answer in (ConnectFailed("refused"), ExchangeTimeout(), Reply(404)):
            answers = {str(LOCATION): base, "http://192.0.2.1/s.xml": answer}
            description = self.successResultOf(self.fetch(answers))
            self.assertEqual(str(description.root.services[0].control_url), "http://192.0.2.1:1780/igd/c")
            self.assertEqual(description.base, LOCATION)
            self.assertIn("URLBase http://192.0.2.1/ leads nowhere", description.problems[0])

    def test_Q062_cancelled_while_asking_at_urlbase(self):
        base = described("<URLBase>http://192.0.2.1</URLBase>")
        fetched = self.fetch({str(LOCATION): base, "http://192.0.2.1/s.xml": Deferred()})
        self.assertNoResult(fetched)
        fetched.cancel()
        self.failureResultOf(fetched, CancelledError)

    def test_Q062_nothing_to_ask(self):
        for reply in (
            described("<URLBase>http://192.0.2.1:1780/other/</URLBase>"),
            described("<URLBase>http://192.0.2.1:5678/</URLBase>", scpd=""),
            described("<URLBase>http://192.0.2.1:5678/</URLBase>", scpd="http://192.0.2.1:5678/s.xml"),
            described("<URLBase>http://198.51.100.1:5678/</URLBase>"),
        ):
            self.successResultOf(self.fetch(reply))
            self.assertEqual(self.exchange.asked, [str(LOCATION)])


class FetchServiceTests(SynchronousTestCase):
    """Service descriptions."""

    def fetch(self, answers, scpd="http://192.0.2.1:1780/s.xml", directory="/", **options):
        self.exchange = ScriptedExchange(answers)
        address = url.parse(scpd) if scpd else None
        return fetch_service(self.exchange, Service(WANIP, "", None, None, address, directory=directory), **options)

    def test_the_request(self):
        address = "http://192.0.2.1:1780/s.xml"
        table = self.successResultOf(self.fetch({address: Reply(200, body=SCPD)}, seconds=4))
        assert table is not None
        self.assertIn("AddPortMapping", table.actions)
        self.assertEqual(self.exchange.requests, [("GET", address, (), b"", limits.SCPD_OCTETS, 4)])

    def test_F25_none(self):
        address = "http://192.0.2.1:1780/s.xml"
        for answer in (
            Reply(404),
            Reply(500),
            Reply(200),
            Reply(200, body=b"<html>"),
            Reply(200, body=b"<scpd/>"),
            Reply(200, body=SCPD[:500]),
            ConnectFailed(),
            ExchangeTimeout(),
        ):
            self.assertIsNone(self.successResultOf(self.fetch({address: answer})))
            self.assertEqual(self.exchange.asked, [address])

    def test_Q082_no_url(self):
        self.assertIsNone(self.successResultOf(self.fetch({}, scpd="")))
        self.assertEqual(self.exchange.asked, [])

    def test_Q064_404_and_a_double_slash(self):
        double, single = "http://192.0.2.1:1780//a//s.xml?x=a//b", "http://192.0.2.1:1780/a/s.xml?x=a//b"
        answers = {double: Reply(404), single: Reply(200, body=SCPD)}
        self.assertIsNotNone(self.successResultOf(self.fetch(answers, scpd=double)))
        self.assertEqual(self.exchange.asked, [double, single])
        self.assertIsNone(self.successResultOf(self.fetch({double: Reply(404), single: Reply(404)}, scpd=double)))
        self.assertIsNone(self.successResultOf(self.fetch({double: Reply(500)}, scpd=double)))
        self.assertEqual(self.exchange.asked, [double])

    def test_Q067_404_below_the_directory_of_the_description(self):
        deep, root = "http://192.0.2.1:1780/igd/s.xml", "http://192.0.2.1:1780/s.xml"
        answers = {deep: Reply(404), root: Reply(200, body=SCPD)}
        self.assertIsNotNone(self.successResultOf(self.fetch(answers, scpd=deep, directory="/igd/")))
        self.assertEqual(self.exchange.asked, [deep, root])
        self.assertIsNone(self.successResultOf(self.fetch(answers, scpd=deep, directory="/other/")))
        self.assertEqual(self.exchange.asked, [deep])

    def test_Q067_the_directory_is_that_of_location_or_urlbase(self):
        self.exchange = ScriptedExchange({str(LOCATION): described()})
        described_service = self.successResultOf(fetch_description(self.exchange, LOCATION)).root.services[0]
        self.assertEqual(described_service.directory, "/igd/")
        based = described("<URLBase>http://192.0.2.1:1780/dyndev/x/</URLBase>")
        self.exchange = ScriptedExchange({str(LOCATION): based})
        described_service = self.successResultOf(fetch_description(self.exchange, LOCATION)).root.services[0]
        self.assertEqual(described_service.directory, "/dyndev/x/")

    def test_cancelling_closes_the_exchange(self):
        cancelled: list[object] = []
        fetched = self.fetch({"http://192.0.2.1:1780/s.xml": Deferred(cancelled.append)})
        fetched.cancel()
        self.failureResultOf(fetched, CancelledError)
        self.assertEqual(len(cancelled), 1)
