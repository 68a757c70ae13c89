#include "app/program.h"

int main(int argc, char** argv) {
  return macrovpn::app::run_program(argc, argv);
}
