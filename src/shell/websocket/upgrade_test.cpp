#include "shell/websocket/upgrade.h"

#include <gtest/gtest.h>

#include "shell/websocket/admission.h"

namespace macrovpn::shell::websocket {
namespace {

const Key kKey{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

std::optional<Key> key_in(const std::string& text) {
  return read_request(read_head(as_bytes(text)));
}

// The request with one line changed, or taken out.
std::string with(const std::string& line, const std::string& instead) {
  std::string text = write_request("www.example.net", kKey);
  const size_t at = text.find(line);
  EXPECT_NE(at, std::string::npos) << line;
  return text.replace(at, line.size(), instead);
}

TEST(Upgrade, AnswersTheKeyOfTheStandardAsTheStandardSays) {  // RFC 6455 §1.3
  EXPECT_EQ(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(Upgrade, ReadsTheRequestOfTheStandard) {  // RFC 6455 §1.2, without a protocol on top
  const auto key = key_in(
      "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\nSec-WebSocket-Version: 13\r\n\r\n");
  ASSERT_TRUE(key.has_value());
  EXPECT_TRUE(equal(*key, as_bytes("the sample nonce")));
}

TEST(Upgrade, OurRequestAndAnswerFitEachOther) {
  EXPECT_EQ(key_in(write_request("www.example.net", kKey)), kKey);
  EXPECT_TRUE(is_answer(read_head(as_bytes(write_answer(kKey))), kKey));
  EXPECT_FALSE(is_answer(read_head(as_bytes(write_answer(Key{}))), kKey));
}

TEST(Upgrade, ARequestWithoutAnyOfItsPartsIsNone) {
  for (const char* line : {"Host: www.example.net\r\n", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "Sec-WebSocket-Version: 13\r\n"})
    EXPECT_FALSE(key_in(with(line, "")).has_value()) << line;
  EXPECT_FALSE(key_in(with("GET ", "POST ")).has_value());
  EXPECT_FALSE(key_in(with("HTTP/1.1", "HTTP/1.0")).has_value());
  EXPECT_FALSE(key_in(with("n: 13", "n: 8")).has_value());
  EXPECT_FALSE(key_in(with("Key: AQID", "Key: QID")).has_value());
  EXPECT_FALSE(key_in(with("Upgrade: websocket\r\n", "Upgrade: websockets\r\n")).has_value());
}

TEST(Upgrade, AFieldThatIsThereTwiceIsNotBelieved) {
  EXPECT_FALSE(key_in(with("Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n")).has_value());
  EXPECT_FALSE(key_in(with("Host: www.example.net\r\n", "Host: www.example.net\r\nhost: a\r\n")).has_value());
}

TEST(Upgrade, WordsAreFoundInListsAndInAnyCase) {
  EXPECT_TRUE(key_in(with("Connection: Upgrade\r\n", "connection: keep-alive , UPGRADE\r\n")).has_value());
  EXPECT_FALSE(key_in(with("Connection: Upgrade\r\n", "Connection: keep-alive, upgraded\r\n")).has_value());
}

TEST(Upgrade, AnAnswerWithWhatWasNotAskedForIsNone) {
  std::string text = write_answer(kKey);
  text.insert(text.size() - 2, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  EXPECT_FALSE(is_answer(read_head(as_bytes(text)), kKey));
}

TEST(HttpHead, IsReadOnceItsEndIsThere) {
  const std::string text = write_request("www.example.net", kKey);
  for (size_t n = 0; n < text.size(); n++) EXPECT_EQ(read_head(as_bytes(text).first(n)).parse, Head::Parse::more);
  const Head head = read_head(as_bytes(text + "more"));
  EXPECT_EQ(head.parse, Head::Parse::done);
  EXPECT_EQ(head.used, text.size());
}

TEST(HttpHead, RefusesLinesThatSomeReadersTakeForSomethingElse) {
  for (const char* line : {"Host : a", " Host: a", "\tHost: a", "Ho st: a", ": a", "Host", "Host: a\rb", "Host: a\nb", "Host: a\x01"})
    EXPECT_EQ(read_head(as_bytes(std::string("GET / HTTP/1.1\r\n") + line + "\r\n\r\n")).parse, Head::Parse::bad) << line;
  EXPECT_EQ(read_head(as_bytes("\r\n\r\n")).parse, Head::Parse::bad);
}

TEST(HttpHead, IsBoundedInBytesAndFields) {
  std::string fields;
  for (size_t i = 0; i < kMaxFields; i++) fields += "A: b\r\n";
  EXPECT_EQ(read_head(as_bytes("GET / HTTP/1.1\r\n" + fields + "\r\n")).parse, Head::Parse::done);
  EXPECT_EQ(read_head(as_bytes("GET / HTTP/1.1\r\n" + fields + "A: b\r\n\r\n")).parse, Head::Parse::bad);
  const std::string start = "GET / HTTP/1.1\r\nA: ", end = "\r\n\r\n";
  const std::string longest = start + std::string(kMaxHead - start.size() - end.size(), 'a') + end;
  EXPECT_EQ(read_head(as_bytes(longest)).parse, Head::Parse::done);
  EXPECT_EQ(read_head(as_bytes("X" + longest)).parse, Head::Parse::bad);
  EXPECT_EQ(read_head(as_bytes(std::string(kMaxHead, 'a'))).parse, Head::Parse::bad);
  EXPECT_EQ(read_head(as_bytes(std::string(kMaxHead - 1, 'a'))).parse, Head::Parse::more);
}

TEST(Admission, IsGoodForOneConnectionOneRelayAndOneNetwork) {
  const NetworkId network{{1}};
  const PublicKey relay{{2}};
  const Exporter here{3};
  const Key good = admission(network, relay, here);
  EXPECT_TRUE(is_admitted(good, good));
  EXPECT_FALSE(is_admitted(good, admission(network, relay, Exporter{4})));
  EXPECT_FALSE(is_admitted(good, admission(network, PublicKey{{5}}, here)));
  EXPECT_FALSE(is_admitted(good, admission(NetworkId{{6}}, relay, here)));
  EXPECT_FALSE(is_admitted(good, std::nullopt));
  EXPECT_FALSE(is_admitted(Key{}, std::nullopt));
}

}  // namespace
}  // namespace macrovpn::shell::websocket
