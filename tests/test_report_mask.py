"""What a support report masks, spelling by spelling: tables of texts and of what must be left of them."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.igd.report_mask import Mask
from txigd.igd.report_plain import Plain
from txigd.igd.status import AddressClass, classify

SAMPLES = Path(__file__).parent / "messages"
# all that is masked in them, but for UUIDs: descriptions of mappings, serial numbers, host names
MASKED_IN_SAMPLES = {
    *("00000-00001", "0001", "9.0.8.9", "Universal", "Product", "Code", "Prototype", "fe80::ff:fe00:1"),
    *("192.168.1.101:8615", "192.168.1.2:25118", "25118", "27360", "TCP", "UDP", "BitComet", "msmsgs", "Tom", "Jerry"),
    *("delivery", "host:delivery", "schemas.microsoft.com", "schemas.xm"),
}
# what a search for them must not go over again and again
HARD = (
    *(
        b"pin=",
        b"key=\"key='",
        b"key='\\",
        b'password: \\"',
        b'\\"key\\"',
        b"key_",
        b"user name ",
        b"serial number ",
        b"sn 1",
    ),
    *(b"<", b"<a:a", b"<pin ", b"<pin><![CDATA[", b"<pin><!--", b"&lt;pin&gt;", b"key<b>", b"pin</td> ", b"pin <td "),
    *(b'<input name="pin" value="', b'<a name="', b' value="x" name="pin"', b'name="key', b"name=name=key_"),
    *(b"2003:", b"::", b"2003-", b"1-", b"00:", b"00 ", b"0011-2233-", b"001122-", b"mac ", b"mac0 ", b"mac 00:1a:c5 "),
)

PIECES = (
    *(
        b"&#5",
        b"8;",
        b"%3",
        b"a",
        b"%25",
        b"&amp;",
        b"#x3a;",
        b"\\u00",
        b"41",
        b"&Mu;",
        b"sn=",
        b"<SN>",
        b"</SN>",
        b" ",
    ),
    *(
        b"81.2",
        b".69.142",
        b"-2-69",
        b"%2E",
        b"00:90",
        b":a2:77",
        b":77:7b",
        b"2003:",
        b"c10::1",
        b".in-addr.arpa",
        b"//",
        *(b"<pin ", b"value=", b"'", b'"', b"<![CDATA[", b"]]>", b"0011-2233", b"-4455", b"::", b"eth0:", b"</td><td>"),
    ),
)


def mask(*texts: bytes) -> tuple[bytes, ...]:
    """All texts of one report, masked."""
    one = Mask()
    for text in texts:
        one.learn(text)
    return tuple(one.apply(text) for text in texts)


class Case(SynchronousTestCase):
    def hidden(self, text: bytes, secret: bytes, *others: bytes) -> bytes:
        """Mask it: the secret is gone, what stands around it and the length are not."""
        out = mask(text, *others)[0]
        before, _, after = text.partition(secret)
        self.assertEqual(len(out), len(text), out)
        self.assertTrue(out.startswith(before) and out.endswith(after), (text, out))
        self.assertNotIn(secret.lower(), out.lower())
        return out[len(before) : len(out) - len(after)]


class HardwareTests(Case):
    def test_spellings_without_a_name(self) -> None:
        for text, masked_text in (
            (b"at 00 90 a2 77 77 7b now", b"at 02 00 00 00 00 01 now"),
            (b"00_90_a2_77_77_7b", b"02_00_00_00_00_01"),
            (b"00.90.a2.77.77.7b", b"02.00.00.00.00.01"),
            (b"00:90:a2-77:77:7b", b"02:00:00-00:00:01"),
            (b"00&#58;90&#x3a;a2&colon;77&#0058;77&amp;#58;7b", b"02&#58;00&#x3a;00&colon;00&#0058;00&amp;#58;01"),
            (b"0&#48;:90:%612:77:77:7b", b"0&#50;:00:%300:00:00:01"),
            (b"x%2Fabcdef012345", b"x%2F020000000001"),
            (b"mac=00_11_22_33_44_55", b"mac=02_00_00_00_00_01"),
        ):
            self.assertEqual(mask(text), (masked_text,))

    def test_digits_alone_where_the_address_is_known(self) -> None:
        known = b"<NewMACAddress>00:11:22:33:44:55</NewMACAddress>"
        for text in (b"00 11 22 33 44 55", b"00_11_22_33_44_55", b"00:11:22-33:44:55", b"00.11.22.33.44.55"):
            self.assertEqual(mask(text), (text,))
            self.assertNotIn(b"33", mask(text, known)[0])

    def test_groups_without_a_letter(self) -> None:
        for text, masked_text in (
            (b"<a>0011-2233-4455</a>", b"<a>0200-0000-0001</a>"),
            (b"<a>001122-334456</a>", b"<a>020000-000001</a>"),
            (b"<X_mac1>1011-2233-4455</X_mac1>", b"<X_mac1>0200-0000-0001</X_mac1>"),
            (b"<X_mac3>\n <![CDATA[101122-334456]]></X_mac3>", b"<X_mac3>\n <![CDATA[020000-000001]]></X_mac3>"),
            (b"<a>00:1A:C5 12:34:57</a>", b"<a>02:00:00 00:00:01</a>"),
            (b"<a>00-1A-C5 12-34-57</a>", b"<a>02-00-00 00-00-01</a>"),
            (b"<a>001A C512 3457</a>", b"<a>0200 0000 0001</a>"),
            (b'"mac": "10:11:22 33:44:55"', b'"mac": "02:00:00 00:00:01"'),
        ):
            self.assertEqual(mask(text), (masked_text,))

    def test_groups_without_a_letter_where_the_address_is_known(self) -> None:
        known = b"<UDN>uuid:824ff22b-8c7d-41c5-a131-101122334455</UDN>"
        for text in (b"1011-2233-4455", b"101122-334455", b"10:11:22 33:44:55", b"1011 2233 4455", b"1011_2233_4455"):
            self.assertEqual(mask(text), (text,))
            self.assertNotRegex(mask(text, known)[0], b"[345]")

    def test_what_only_looks_like_one(self) -> None:
        for text in (
            b"2026-1120-1607 1999-1120-1607 build 123456-123456 261120-160727",
            b"26:11:20 16:07:27 2026-11-20 16:07:27 10:20:30 40:50:60",
            b"2026-11-20 16:07:27 26-11-20 16:07:27 20_11_26_16_07_27",
            b"00 90 a2 77 77",
            b"be 10 20 30 40 now",
            b"10 20 30 40 50 60 70",
            b"a 50%20b 100%25 of &amp; &lt;a&gt; &#8364;",
        ):
            self.assertEqual(mask(text), (text,))


class SerialNumberTests(Case):
    def test_names(self) -> None:
        for before, after in (
            (b"<SN>", b"</SN>"),
            (b"<X_SN>", b"</X_SN>"),
            (b"<d:X_VENDOR_SN a='b'>", b"</d:X_VENDOR_SN>"),
            (b"<DeviceSN>", b"</DeviceSN>"),
            (b"<SNumber>", b"</SNumber>"),
            (b"<UPC>", b"</UPC>"),
            (b"&lt;SN&gt;", b"&lt;/SN&gt;"),
            (b'{"sn":"', b'","v":1}'),
            (b'{"deviceSn": "', b'"}'),
            (b"S/N: ", b"\r\n"),
            (b"SERVER: box/1.0 SN=", b" UPnP/1.0\r\n"),
            (b"GET /x?sn=", b" HTTP/1.1\r\n"),
            (b"http://192.168.1.1/x?a=1&SN=", b"&v=1.2"),
        ):
            self.hidden(before + b"AB12345" + after, b"AB12345")
            elsewhere = mask(b"box ab12345 here", before + b"AB12345" + after)[0]
            self.assertNotIn(b"ab12345", elsewhere)

    def test_where_the_model_number_tells_it(self) -> None:
        for model, secret in ((b"AB-77", b"AB-77"), (b"X1 (AB-77)", b"AB-77")):
            serial = b"<serialNumber>AB-77</serialNumber>"
            out = mask(b"<modelNumber>" + model + b"</modelNumber>" + serial)[0]
            self.assertNotIn(secret, out)
        plain = b"<modelNumber>7590 1.2</modelNumber>"
        self.assertTrue(mask(plain + b"<serialNumber>AB-77</serialNumber>")[0].startswith(plain))

    def test_where_they_stand(self) -> None:
        for before, after in (
            (b"<serialNumber>\n      <![CDATA[", b"]]></serialNumber>"),
            (b"<serialNumber><![CDATA[ ", b" ]]>\n</serialNumber>"),
            (b"<serialNumber><!-- no. -->", b"</serialNumber>"),
            (b"<modelDescription>Acme Router S/N ", b"</modelDescription>"),
            (b"<modelDescription>Acme Router (SN ", b")</modelDescription>"),
            (b"<b>Serial Number:</b> ", b"<br>"),
            (b"Serial Number: <b>", b"</b>"),
            (b"<td>Serial Number</td>\n<td class='x'>", b"</td>"),
            (b"Serial No. ", b", made in 2020"),
            (b"Serial no.: ", b"\r\n"),
            (b"Serial #: ", b"\r\n"),
            (b'<param name="SerialNumber" value="', b'"/>'),
            (b"<param value='", b"' name='SerialNumber'/>"),
            (b"<X_SerialNr>", b"</X_SerialNr>"),
            (b"<X_Serial_No.>", b"</X_Serial_No.>"),
            (b"<X_DEVICESN>", b"</X_DEVICESN>"),
        ):
            self.hidden(before + b"WSXX665544" + after, b"WSXX665544")
            self.assertNotIn(b"WSXX665544", mask(b"at WSXX665544", before + b"WSXX665544" + after)[0])

    def test_other_spellings_of_a_known_one(self) -> None:
        known = b"<serialNumber>AB-12/C345</serialNumber>"
        for text in (b"AB-12&#47;C345", b"AB%2D12%2fC345", b"&#65;B-12/C345", b"AB-12\\/C345", b"ab-12\\u002fc345"):
            out = mask(text, known)[0]
            self.assertEqual(len(out), len(text))
            self.assertEqual(Plain(out).octets.lower().replace(b"\\", b""), b"xx-00/x001", out)
        self.assertNotIn(b"AB12345", mask(b"x AB12345 y", b"<SN>AB-12-345</SN>")[0])

    def test_usn_and_versions_are_none(self) -> None:
        for text in (
            b"USN: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n",
            b"<isn>12345678</isn><Version>AB12345</Version>",
            b"<UPC>000000000000</UPC>",
            b"<modelDescription>8 serial ports, serial 16550, SN 2 of 3</modelDescription><dnsAsn>64512</dnsAsn>",
        ):
            self.assertEqual(mask(text), (text,))


class AddressTests(Case):
    def test_spellings(self) -> None:
        for text in (
            b"ip-81-2-69-142.isp.net",
            b"host81_2_69_142.dyn.isp.net",
            b"081-002-069-142.dyn.isp.net",
            b"81%2E2%2E69%2E142",
            b"?x=81%2e2%2e69%2e142&",
            b"81&#46;2&#46;69&#46;142",
            b"81&period;2&#x2e;69&amp;#46;142",
            b"142.69.2.81.in-addr.arpa",
            b"142.69.2.81.IN-ADDR.ARPA.",
            b"2.69.81.in-addr.arpa",
        ):
            out = mask(text)[0]
            self.assertEqual(len(out), len(text))
            plain = Plain(out).octets
            self.assertNotRegex(plain, rb"(?<![0-9])0*69(?![0-9])")
            # nothing but digits is another
            self.assertEqual([c for c in text if not 48 <= c < 58], [c for c in out if not 48 <= c < 58], out)

    def test_one_mask_for_all_spellings(self) -> None:
        out = mask(
            b"81.2.69.142 ip-81-2-69-142.isp.net 142.69.2.81.in-addr.arpa 81&#46;2&#46;69&#46;142 at 81-2-69-142"
            b" at 142_69_2_81"
        )[0]
        plain, dashed, turned, escaped, _, alone, _, alone_turned = out.split()
        self.assertIs(classify(plain.decode())[1], AddressClass.PUBLIC)
        self.assertEqual(dashed, b"ip-" + plain.replace(b".", b"-") + b".isp.net")
        self.assertEqual(escaped, plain.replace(b".", b"&#46;"))
        self.assertEqual(alone, plain.replace(b".", b"-"))
        backward = plain.split(b".")[::-1]
        self.assertEqual(turned, b".".join(backward) + b".in-addr.arpa")
        self.assertEqual(alone_turned, b"_".join(backward))

    def test_run_together_where_it_is_known(self) -> None:
        for text in (b"p5102458e.dip0.isp.net", b"081002069142.isp.net"):
            self.assertEqual(mask(text), (text,))
            out = mask(text, b"<NewExternalIPAddress>81.2.69.142</NewExternalIPAddress>")[0]
            self.assertNotRegex(out, rb"5102458e|081002069142")

    def test_v6_names(self) -> None:
        arpa = b".".join(b"%c" % digit for digit in b"20030c10123400000000000000000001"[::-1]) + b".ip6.arpa"
        for text, secret in (
            (arpa, b"4.3.2.1.0.1.c.0.3.0.0.2"),
            (arpa[32:], b"4.3.2.1.0.1.c.0.3.0.0.2"),
            (b"http://2003-c10-1234--1.ipv6-literal.net/", b"2003-c10-1234"),
            (b"\\\\2003-c10-1234--1s4.ipv6-literal.net", b"2003-c10-1234"),
            (b"fe80--290-a2ff-fe77-777bs4.ipv6-literal.net", b"290-a2ff-fe77-777b"),
            (b"[2003%3Ac10%3A1234%3A%3A1]", b"2003%3Ac10%3A1234"),
            (b"2003&#58;c10&#58;1234&#58;&#58;1", b"2003&#58;c10&#58;1234"),
        ):
            out = mask(text)[0]
            self.assertEqual(len(out), len(text))
            self.assertNotIn(secret, out)
            kept = (b".ip6.arpa", b".ipv6-literal.net", b"%3A%3A", b"&#58;&#58;")
            self.assertEqual([name in text for name in kept], [name in out for name in kept], out)
        for text in (b"x-2003-c10-1234--1.isp.net", b"2003-0c10-1234-0000-0000-0000-0000-0001"):
            self.assertNotIn(b"c10", mask(text, b"at 2003:c10:1234::1 ")[0])

    def test_v6_beside_other_words(self) -> None:
        for text, masked_text in (
            (b"eth0:2003:c1:abcd:1200::1", b"eth0:2a01:11:1001:1001::2"),
            (b"WAN6:2003:c1:abcd:1200::1.", b"WAN6:2a01:11:1001:1001::2."),
            (b"br-lan:2003:c1:abcd:1200::1:", b"br-lan:2a01:11:1001:1001::2:"),
            (b"2003:c1:abcd:1200::1:eth0", b"2a01:11:1001:1001::2:eth0"),
            (b"2003:c1:abcd:1200:1:2:3:4:80", b"2a01:11:1001:1001:2:3:2:2:80"),
            (b"USN: 2003:c1:abcd:1200::1::upnp:rootdevice", b"USN: 2a01:11:1001:1001::2::upnp:rootdevice"),
            (b"x2003:c1:abcd:1200:1:2:3:4", b"x2a01:11:1001:1001:2:3:2:2"),
            (
                b"dyn-2003-00c1-abcd-1200-0001-0002-0003-0004.isp.net.",
                b"dyn-2a01-0011-1001-1001-0002-0003-0002-0002.isp.net.",
            ),
            (b"2003-c1-abcd-1200--1.dip0.isp.de", b"2a01-11-1001-1001--2.dip0.isp.de"),
        ):
            self.assertEqual(mask(text), (masked_text,))

    def test_v6_with_an_ipv4_address_at_its_end(self) -> None:
        for text, masked_text in (
            (b"2003:c1:abcd:1300::81.2.69.142", b"2a01:11:1001:1001::11.1.10.101"),
            (b"2003:c1:abcd:1200:1:2:81.2.69.142", b"2a01:11:1001:1001:2:3:11.1.10.101"),
            (b"eth0:2003:c1:abcd:1300::192.168.1.2", b"eth0:2a01:11:1001:1001::192.168.1.2"),
            (b"::ffff:81.2.69.142 64:ff9b::81.2.69.142", b"::ffff:11.1.10.101 64:ff9b::11.1.10.101"),
        ):
            self.assertEqual(mask(text), (masked_text,))
        both = mask(b"81.2.69.142 2003:c1::81.2.69.142")[0].split()
        self.assertTrue(both[1].endswith(b":" + both[0]))

    def test_one_v6_mask_for_all_spellings(self) -> None:
        arpa = b".".join(b"%c" % digit for digit in b"20030c10123400000000000000000001"[::-1]) + b".ip6.arpa"
        out = mask(b"2003:0c10:1234:0000:0000:0000:0000:0001 2003-c10-1234--1.ipv6-literal.net " + arpa)[0]
        plain, literal, turned = out.split()
        self.assertEqual(turned, b".".join(b"%c" % digit for digit in plain.replace(b":", b"")[::-1]) + b".ip6.arpa")
        self.assertEqual(literal.partition(b".")[0].split(b"-")[0], plain.split(b":")[0])

    def test_what_is_none(self) -> None:
        for text in (
            b"1.1.168.192.in-addr.arpa 1.0.0.10.in-addr.arpa ip-192-168-1-1.isp.net",
            b"2026-11-20-16 1-2-3-4 build 81-2-69-142 firmware-11-22-33-44.bin",
            b"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa",
            b"fe80--1s4.ipv6-literal.net",
            b"Net::UPnP Foo::Bad std::face USN: uuid:igd-2abc::upnp:rootdevice 12:34:56 urn:x:dead:1",
            b"2026-11-20--16 build 3000-1-2-3-4-5-6-7 eth0:fe80::1 eth0:fd00::1 ::ffff:192.168.1.1",
        ):
            self.assertEqual(mask(text), (text,))


class NameTests(Case):
    def test_elements_and_keys(self) -> None:
        for before, secret, after in (
            (b"<WPSPin>", b"12345670", b"</WPSPin>"),
            (b"<pin>", b"4711", b"</pin>"),
            (b"<WLANKey>", b"s3cret!x", b"</WLANKey>"),
            (b"<X_KeyPassphrase>", b"long words", b"</X_KeyPassphrase>"),
            (b"<PPPoEUser>", b"anna", b"</PPPoEUser>"),
            (b"<PPPAccount>", b"anna@isp", b"</PPPAccount>"),
            (b"<AdminLogin>", b"anna", b"</AdminLogin>"),
            (b"<AdminPwd>", b"geheim", b"</AdminPwd>"),
            (b"<Pass>", b"geheim", b"</Pass>"),
            (b'"wpsPin" : "', b"12345670", b'"'),
            (b'"wlanKey":"', b"s3cret", b'"'),
            (b"pppoeUser=", b"anna", b"&"),
            (b"WPS PIN: ", b"12345670", b"\r\n"),
            (b"<NewInternalClient>", b"annas-laptop", b"</NewInternalClient>"),
            (b"<NewRemoteHost>", b"friend7.example", b"</NewRemoteHost>"),
            (b"<SSID_5G>", b"HomeNetTom", b"</SSID_5G>"),
            (b"<SSID1>", b"HomeNetTom", b"</SSID1>"),
            (b"<X_SSIDName>", b"HomeNetTom", b"</X_SSIDName>"),
            (b"<X_SSID_2.4GHz_Guest>", b"HomeNetTom", b"</X_SSID_2.4GHz_Guest>"),
            (b"<X_WEPKey0>", b"topsecret", b"</X_WEPKey0>"),
            (b"<X_WPA-Key1>", b"topsecret", b"</X_WPA-Key1>"),
            (b"<X_PPPUsername1>", b"tomsmith", b"</X_PPPUsername1>"),
            (b'"ssid_name":"', b"HomeNetTom", b'"'),
            (b"ssid_5g=", b"HomeNetTom", b"&"),
            (b"<SSID><![CDATA[", b"Tom<3Anna", b"]]></SSID>"),
            (b"<SSID>", b"Tom &lt;3 Anna", b"</SSID>"),
            (b"<b>SSID:</b>&nbsp;", b"HomeNetTom", b"<br>"),
            (b"<td>WLAN Key</td><td>", b"topsecret", b"</td>"),
        ):
            self.hidden(before + secret + after, secret)

    def test_values_in_quotes(self) -> None:
        for before, secret, after in (
            (b'{"ssid":"', b"Tom's FamilyNet", b'","v":1}'),
            (b'"password": "', b"abc,Geheimwort7", b'"'),
            (b'"password": "', b"abc;def<ghijk", b'"'),
            (b'"psk":"', b"zz&amp;Geheimwort8", b'"'),
            (b'"password":"', b'top\\"secretpart', b'","v":1}'),
            (b"{'password': '", b'top"secretpart', b"'}"),
            (b'{\\"ssid\\":\\"', b"Tom's FamilyNet", b'\\",\\"v\\":1}'),
            (b"{&quot;ssid&quot;:&quot;", b"Tom's FamilyNet", b"&quot;,&quot;v&quot;:1}"),
            (b'"serial":"', b"AB;12,34 x", b'"'),
            (b"ssid=", b"Tom's FamilyNet", b"\r\n"),
        ):
            masked_secret = self.hidden(before + secret + after, secret)
            for word in re.findall(rb"[A-Za-z]{3,}", secret.replace(b"&amp;", b"&")):
                self.assertNotIn(word, masked_secret)

    def test_attributes(self) -> None:
        for before, secret, after in (
            (b'<SSID val="', b"HomeNetTom", b'"/>'),
            (b"<x:ssid a='1' value='", b"HomeNetTom", b"'/>"),
            (b'<SSID_5G value="', b"Tom's <Net>", b'"/>'),
            (b'<input type="text" id="ssid" value="', b"HomeNetTom", b'">'),
            (b'<input value="', b"topsecret", b'" name="password">'),
            (b"<input name=wpa_key1 value=", b"topsecret", b" size=20>"),
            (b'<X name="pppoe_username" content="', b"tom@isp", b'">'),
            (b"&lt;SSID val=&quot;", b"HomeNetTom", b"&quot;/&gt;"),
        ):
            self.hidden(before + secret + after, secret)
        for text in (
            b'<input name="mtu" value="1492"><SSIDBroadcast val="yes"/><SSID/>Text1<SSID a="b"/>Text2',
            b'<meta name="viewport" content="width=device-width"><a name="SSID" href="x.html" target="_top">',
        ):
            self.assertEqual(mask(text), (text,))

    def test_hosts_without_a_scheme(self) -> None:
        for before, secret, after in (
            (b'<a href="//', b"annas-box.example", b'/x">'),
            (b"<a href='//", b"annas-box", b"/x'>"),
            (b"<presentationURL>//", b"annas-nas", b"/x</presentationURL>"),
            (b"<presentationURL>//", b"anna.isp.example", b":80/x</presentationURL>"),
            (b"see //", b"anna.isp.example", b"/share now"),
        ):
            self.hidden(before + secret + after, secret)

    def test_what_is_nobodys_secret(self) -> None:
        for text in (
            b"<controlURL>//WANIPConnection</controlURL><SCPDURL>//desc.xml</SCPDURL><eventSubURL>//ctl//x</eventSubURL>",
            b"POST //WANIPConnection HTTP/1.1\r\nHOST: 192.168.1.1:2468\r\n",
            b"<presentationURL>//192.168.1.1/x</presentationURL><manufacturerURL>//www.vendor.example/</manufacturerURL>",
            b'<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">',
            b"<NewInternalClient>192.168.1.23</NewInternalClient><NewInternalClient>fd00::1</NewInternalClient>",
            b"<NewRemoteHost></NewRemoteHost><NewProtocol>TCP</NewProtocol><NewInternalPort>4711</NewInternalPort>",
            b"<IPSecBypass>enabled</IPSecBypass><WPSPin>disabled</WPSPin><Mapping>x1</Mapping>",
            b"Date: Fri, 20 Nov 2026 16:07:27 GMT\r\nServer: Linux/2.6.30.9 UPnP/1.0 box/7.29\r\n",
            b"User-Agent: txigd/1.0\r\nPragma: no-cache\r\n",
        ):
            self.assertEqual(mask(text), (text,))

    def test_a_control_url_with_a_name_in_it_is_the_same_in_the_request(self) -> None:
        url, line = mask(b"<controlURL>//evil.com/x</controlURL>", b"POST //evil.com/x HTTP/1.1\r\n")
        self.assertIn(url[12:24], line)


class SampleTests(SynchronousTestCase):
    def test_nothing_else_is_masked(self) -> None:
        changed = set()
        for file in sorted(SAMPLES.iterdir()):
            if file.name not in ("manifest.json", "README.md"):
                octets = file.read_bytes()
                out = mask(octets)[0]
                for word in re.finditer(rb"[\w.:@+-]+", octets):
                    if out[word.start() : word.end()] != word[0]:
                        changed.add(word[0].decode())
        uuid = re.compile("(?:.*uuid:.*|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)
        self.assertEqual({word for word in changed if not uuid.fullmatch(word)}, MASKED_IN_SAMPLES)


class LengthTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from(PIECES)))
    def test_any_spelling_keeps_its_length(self, pieces: list[bytes]) -> None:
        text = b"".join(pieces)
        self.assertEqual(len(mask(text)[0]), len(text))

    def test_long_texts_of_half_a_form(self) -> None:
        """A tenth of a second each. Where the time grows with the square of the length, it is minutes."""
        for piece in HARD:
            text = piece * (20_000 // len(piece))
            self.assertEqual(len(mask(text)[0]), len(text))
