#include "app/passphrase_prompt.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <vector>

#include "shell/config/atomic_file.h"
#include "shell/fd.h"

namespace macrovpn::app {
namespace {

using shell::Fd;

void say(const Fd& tty, const std::string& text) {
  static_cast<void>(write(tty.get(), text.data(), text.size()) >= 0);
}

std::string read_line(const Fd& tty) {
  std::string line;
  char c = 0;
  while (line.size() < 1024 && read(tty.get(), &c, 1) == 1 && c != '\n') line += c;
  return line;
}

std::string read_hidden(const Fd& tty, const std::string& prompt) {
  termios before{};
  tcgetattr(tty.get(), &before);
  termios hidden = before;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  tcsetattr(tty.get(), TCSAFLUSH, &hidden);
  say(tty, prompt);
  std::string line = read_line(tty);
  tcsetattr(tty.get(), TCSAFLUSH, &before);
  say(tty, "\n");
  return line;
}

Result<Fd> open_terminal(const char* otherwise) {
  Fd tty(open("/dev/tty", O_RDWR | O_CLOEXEC));
  if (!tty) return fail(std::string("there is no terminal to ask on; ") + otherwise);
  return tty;
}

}  // namespace

Result<std::string> read_passphrase(const std::string& file, Ask ask) {
  if (!file.empty()) {
    TRY(const auto bytes, shell::read_file(file, 1024));
    std::string line(bytes.begin(), bytes.end());
    return line.substr(0, line.find('\n'));
  }
  TRY(const Fd tty, open_terminal("give --passphrase-file FILE"));
  const std::string first = read_hidden(tty, "Passphrase: ");
  if (ask == Ask::twice && read_hidden(tty, "The same again: ") != first)
    return fail("the two passphrases differ; try again");
  return first;
}

Result<bool> ask_yes_or_no(const std::string& question) {
  TRY(const Fd tty, open_terminal("say it with a flag instead (see --help)"));
  say(tty, question + " [y/N] ");
  const std::string answer = read_line(tty);
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace macrovpn::app
