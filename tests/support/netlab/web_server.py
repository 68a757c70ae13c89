"""The web server of the laboratory's internet. Run in a host: see services.WebServer.

    /            one line: the address that the caller has for us
    /bytes/N     N bytes, as fast as the kernel can
    /sha/N       the SHA-256 of what /bytes/N sends
    /slow/S      one line after S seconds (at most 60)
    POST /sink   takes a body and answers with its length
"""

import functools
import hashlib
import http.server
import json
import os
import socket
import sys
import threading
import time

BLOCK = bytes(range(256)) * 4096  # 1 MiB
MOST_BYTES = 1 << 40


@functools.cache
def _block_file():
    file = os.memfd_create("block")
    os.write(file, BLOCK)
    return file


def digest(count):
    sha = hashlib.sha256()
    for start in range(0, count, len(BLOCK)):
        sha.update(BLOCK[:count - start])
    return sha.hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    disable_nagle_algorithm = True

    def do_GET(self):
        self._log()
        verb, _, argument = self.path.strip("/").partition("/")
        number = int(argument) if argument.isdigit() else 0
        if verb == "":
            self._text(f"you are {self.caller()}\n")
        elif verb == "bytes" and number <= MOST_BYTES:
            self._bytes(number)
        elif verb == "sha" and number <= MOST_BYTES:
            self._text(digest(number) + "\n")
        elif verb == "slow":
            time.sleep(min(number, 60))
            self._text("here at last\n")
        else:
            self._text("no such page\n", 404)

    def do_POST(self):
        self._log()
        left = total = int(self.headers.get("Content-Length", 0))
        while left > 0:
            got = len(self.rfile.read1(min(left, len(BLOCK))))
            if got == 0:
                break
            left -= got
        self._text(f"{total - left}\n")

    def caller(self):
        return self.client_address[0].removeprefix("::ffff:")

    def log_message(self, *_):
        pass

    def _log(self):
        line = json.dumps({"time": time.time(), "client": self.caller(), "path": self.path,
                           "host": self.headers.get("Host", "")})
        print(line, flush=True)

    def _text(self, text, code=200):
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _bytes(self, count):
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(count))
        self.end_headers()
        self.wfile.flush()
        self.connection.settimeout(None)  # a socket with a timeout is non-blocking underneath, and sendfile would not wait
        sent = 0
        while sent < count:
            offset = sent % len(BLOCK)
            sent += os.sendfile(self.connection.fileno(), _block_file(), offset, min(len(BLOCK) - offset, count - sent))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        pass  # a client that goes away is no news


def main():
    servers = [Server(("::", int(port)), Handler) for port in sys.argv[1:]]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
