"""The preset dictionary of SPDY header compression.

Published in the SPDY/3 draft (draft-mbelshe-httpbis-spdy-00, section 2.6.10.1); the same bytes
are in Chromium and in spdystream. A length-prefixed list of common header names and values:
if one byte differs, no peer can read the header blocks.
"""

from __future__ import annotations

from typing import Final

SPDY3_DICTIONARY: Final = (
    b"\x00\x00\x00\x07options\x00\x00\x00\x04head\x00\x00\x00\x04post\x00\x00\x00\x03put\x00"
    b"\x00\x00\x06delete\x00\x00\x00\x05trace\x00\x00\x00\x06accept\x00\x00\x00\x0eaccept-chars"
    b"et\x00\x00\x00\x0faccept-encoding\x00\x00\x00\x0faccept-language\x00\x00\x00\raccept-rang"
    b"es\x00\x00\x00\x03age\x00\x00\x00\x05allow\x00\x00\x00\rauthorization\x00\x00\x00\rcache-"
    b"control\x00\x00\x00\nconnection\x00\x00\x00\x0ccontent-base\x00\x00\x00\x10content-encodi"
    b"ng\x00\x00\x00\x10content-language\x00\x00\x00\x0econtent-length\x00\x00\x00\x10content-l"
    b"ocation\x00\x00\x00\x0bcontent-md5\x00\x00\x00\rcontent-range\x00\x00\x00\x0ccontent-type"
    b"\x00\x00\x00\x04date\x00\x00\x00\x04etag\x00\x00\x00\x06expect\x00\x00\x00\x07expires\x00"
    b"\x00\x00\x04from\x00\x00\x00\x04host\x00\x00\x00\x08if-match\x00\x00\x00\x11if-modified-s"
    b"ince\x00\x00\x00\rif-none-match\x00\x00\x00\x08if-range\x00\x00\x00\x13if-unmodified-sinc"
    b"e\x00\x00\x00\rlast-modified\x00\x00\x00\x08location\x00\x00\x00\x0cmax-forwards\x00\x00"
    b"\x00\x06pragma\x00\x00\x00\x12proxy-authenticate\x00\x00\x00\x13proxy-authorization\x00"
    b"\x00\x00\x05range\x00\x00\x00\x07referer\x00\x00\x00\x0bretry-after\x00\x00\x00\x06server"
    b"\x00\x00\x00\x02te\x00\x00\x00\x07trailer\x00\x00\x00\x11transfer-encoding\x00\x00\x00"
    b"\x07upgrade\x00\x00\x00\nuser-agent\x00\x00\x00\x04vary\x00\x00\x00\x03via\x00\x00\x00"
    b"\x07warning\x00\x00\x00\x10www-authenticate\x00\x00\x00\x06method\x00\x00\x00\x03get\x00"
    b"\x00\x00\x06status\x00\x00\x00\x06200 OK\x00\x00\x00\x07version\x00\x00\x00\x08HTTP/1.1"
    b"\x00\x00\x00\x03url\x00\x00\x00\x06public\x00\x00\x00\nset-cookie\x00\x00\x00\nkeep-alive"
    b"\x00\x00\x00\x06origin10010120120220520630030230330430530630740240540640740840941041"
    b"1412413414415416417502504505203 Non-Authoritative Information204 No Cont"
    b"ent301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 "
    b"Not Found500 Internal Server Error501 Not Implemented503 Service Unavail"
    b"ableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, "
    b"Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/"
    b"gif,application/xml,application/xhtml+xml,text/plain,text/javascript,pub"
    b"licprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,"
    b"*,enq=0."
)
