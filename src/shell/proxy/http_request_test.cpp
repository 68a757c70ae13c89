#include "shell/proxy/http_request.h"

#include <gtest/gtest.h>

namespace macrovpn::shell {
namespace {

HttpRequest read(std::string_view text) {
  return read_http_request(as_bytes(text));
}
int refusal(std::string_view text) {
  const HttpRequest r = read(text);
  return r.parse == Parse::bad ? r.refusal.status : 0;
}

TEST(HttpRequest, ReadsConnect) {
  const std::string head = "CONNECT www.shop.test:443 HTTP/1.1\r\nHost: www.shop.test:443\r\n\r\n";
  for (size_t n = 0; n < head.size(); n++) EXPECT_EQ(read(head.substr(0, n)).parse, Parse::more) << n;
  const HttpRequest r = read(head + "rest");
  EXPECT_EQ(r.parse, Parse::done);
  EXPECT_EQ(r.kind, HttpRequest::Kind::connect);
  EXPECT_EQ(r.target, (Target{std::nullopt, "www.shop.test", 443}));
  EXPECT_EQ(r.used, head.size());
  EXPECT_EQ(read("CONNECT [2001:db8::1]:22 HTTP/1.1\r\n\r\n").target,
            (Target{IpAddress::parse("2001:db8::1"), "", 22}));
  EXPECT_EQ(read("CONNECT 192.0.2.1:22 HTTP/1.0\r\n\r\n").target,
            (Target{IpAddress::parse("192.0.2.1"), "", 22}));
}

TEST(HttpRequest, ConnectNeedsAHostAndAPort) {
  for (const char* authority : {"a.test", "a.test:", "a.test:0", "a.test:65536", "a.test:1x", ":80",
                                "2001:db8::1:80", "[2001:db8::1]", "[2001:db8::1", "[a.test]:80",
                                "user@a.test:80", "127.1:80", "http://a.test/", "a.test:80:81"})
    EXPECT_EQ(refusal("CONNECT " + std::string(authority) + " HTTP/1.1\r\n\r\n"), 400) << authority;
}

TEST(HttpRequest, ForwardsWithoutWhatIsForUsOrForOneHop) {
  const HttpRequest r = read(
      "GET http://a.test:8080/x?y#z HTTP/1.1\r\nHost: other.test\r\nProxy-Authorization: Basic YW5uOng=\r\n"
      "Proxy-Connection: keep-alive\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n"
      "TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc");
  ASSERT_EQ(r.parse, Parse::done);
  EXPECT_EQ(r.kind, HttpRequest::Kind::forward);
  EXPECT_EQ(r.target, (Target{std::nullopt, "a.test", 8080}));
  EXPECT_EQ(r.user, "ann");
  EXPECT_EQ(r.body, 3u);
  EXPECT_EQ(r.forwarded,
            "GET /x?y HTTP/1.1\r\nHost: a.test:8080\r\nAccept: */*\r\nContent-Length: 3\r\nConnection: "
            "close\r\n\r\n");
}

TEST(HttpRequest, ForwardsUrlsWithoutAPath) {
  EXPECT_TRUE(
      read("GET http://a.test HTTP/1.1\r\n\r\n").forwarded.starts_with("GET / HTTP/1.1\r\nHost: a.test\r\n"));
  EXPECT_TRUE(read("GET HTTP://a.test?q HTTP/1.0\r\n\r\n").forwarded.starts_with("GET /?q HTTP/1.0\r\n"));
  EXPECT_TRUE(read("GET http://[2001:db8::1]/ HTTP/1.1\r\n\r\n")
                  .forwarded.starts_with("GET / HTTP/1.1\r\nHost: [2001"));
  EXPECT_EQ(read("GET http://a.test/ HTTP/1.1\r\n\r\n").target.port, 80);
}

TEST(HttpRequest, GivesAWebPageNothing) {
  // What a browser can be made to send to 127.0.0.1 by a page.
  for (const char* method : {"GET", "POST", "HEAD", "PUT"}) {
    EXPECT_EQ(
        refusal(std::string(method) + " / HTTP/1.1\r\nHost: 127.0.0.1:1080\r\nOrigin: http://a.test\r\n\r\n"),
        400);
  }
  EXPECT_EQ(refusal("OPTIONS * HTTP/1.1\r\n\r\n"), 400);
  const std::string said = http_refusal(read("GET / HTTP/1.1\r\n\r\n").refusal);
  EXPECT_EQ(said.find("Access-Control"), std::string::npos);
  EXPECT_NE(said.find("nosniff"), std::string::npos);
}

TEST(HttpRequest, RefusesWhatCouldBeReadInTwoWays) {
  const std::string get = "POST http://a.test/ HTTP/1.1\r\n";
  EXPECT_EQ(refusal(get + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"), 400);
  EXPECT_EQ(refusal(get + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"), 400);
  for (const char* length : {"", "-1", "+3", "3 4", "0x3", "99999999999999999999"})
    EXPECT_EQ(refusal(get + "Content-Length: " + length + "\r\n\r\n"), 400) << length;
  EXPECT_EQ(refusal(get + "Transfer-Encoding: chunked\r\n\r\n"), 411);
  EXPECT_EQ(refusal(get + "Content-Length : 3\r\n\r\n"), 400);
  EXPECT_EQ(refusal(get + "A: b\r\n folded\r\n\r\n"), 400);
  EXPECT_EQ(refusal(get + "A: b\nC: d\r\n\r\n"), 400);
  EXPECT_EQ(refusal(get + std::string("A: b\0c\r\n\r\n", 11)), 400);
  EXPECT_EQ(refusal(get + "no colon\r\n\r\n"), 400);
  // A length that a client asks to take off stays.
  EXPECT_NE(read(get + "Connection: content-length\r\nContent-Length: 3\r\n\r\n")
                .forwarded.find("Content-Length: 3"),
            std::string::npos);
}

TEST(HttpRequest, RefusesOtherThingsWithTheirStatus) {
  EXPECT_EQ(refusal("GET https://a.test/ HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET http://u:p@a.test/ HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(refusal("TRACE http://a.test/ HTTP/1.1\r\n\r\n"), 405);
  EXPECT_EQ(refusal("GET http://a.test/ HTTP/2.0\r\n\r\n"), 505);
  EXPECT_EQ(refusal("GET http://a.test/\r\n\r\n"), 400);
  EXPECT_EQ(refusal("\x16\x03\x01\x02"), 400) << "TLS; not waited for";
  EXPECT_EQ(refusal("CONNECT a.test:1 HTTP/1.1\r\nProxy-Authorization: Basic !\r\n\r\n"), 400);
}

TEST(HttpRequest, HasALargestHead) {
  std::string head = "GET http://a.test/ HTTP/1.1\r\nA: ";
  head.append(kMaxHttpHead - head.size() - 4, 'x');
  EXPECT_EQ(read(head + "\r\n\r\n").parse, Parse::done);
  EXPECT_EQ(refusal(head + "x\r\n\r\n"), 431);
  EXPECT_EQ(read(head).parse, Parse::more);
}

TEST(HttpRequest, TakesTheUserOfBasicCredentials) {
  const auto user = [](const std::string& value) {
    return read("CONNECT a.test:1 HTTP/1.1\r\nproxy-authorization: " + value + "\r\n\r\n").user;
  };
  EXPECT_EQ(user("Basic YW5uOng6eQ=="), "ann");
  EXPECT_EQ(user("basic YW5u"), "ann");
  EXPECT_EQ(user("Bearer YW5u"), "");
}

}  // namespace
}  // namespace macrovpn::shell
