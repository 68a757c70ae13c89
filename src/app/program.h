// The program `macrovpn`: finds the command that was asked for and runs it.
//
// Exit status of every command:
//
//   0  done            3  no daemon is running
//   1  it failed       4  no network yet
//   2  wrong usage     5  refused without consent
//
// `run` returns the status of its program, 128 + N if signal N ended it, and 125 if the box could not be
// made, 126 if the program could not be executed, 127 if it was not found (as env and timeout do).
#pragma once

namespace macrovpn::app {

int run_program(int argc, char** argv);

}  // namespace macrovpn::app
