# Sourced by ./test, ./demo and ./bench: installs the packages that they need and builds.
#
#   setup_packages build libs tests     the groups of tools/packages.txt; says what it installs.  Quiet when all is there
#   setup_build PRESET [TARGET...]      configures and builds into build/PRESET
#
# Both return non-zero after saying what went wrong and what to do.

setup_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

setup_say() { printf '%s\n' "$*" >&2; }

# The packages of the named groups, one a line.
setup_list() {
  local group package reason
  while read -r group package reason; do
    [[ " $* " == *" $group "* ]] && printf '%s\n' "$package"
  done < <(grep -vE '^\s*(#|$)' "$setup_root/tools/packages.txt")
  return 0
}

setup_missing() {
  local package
  for package in $(setup_list "$@"); do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || printf '%s\n' "$package"
  done
}

# Nothing that is installed for a test may begin to serve: not now (policy-rc.d, unless the machine has its own), nor after a restart.
setup_install() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy && ! -L $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" || exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q && apt-get install -q -y --no-install-recommends "$@" || exit 1
  if [[ " $* " == *" coturn "* && -d /run/systemd/system ]]; then systemctl disable --now coturn || exit 1; fi
)

setup_packages() {
  local missing
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    setup_say "This is no Debian: install what tools/packages.txt lists by hand, then use cmake --preset dev."
    return 1
  fi
  mapfile -t missing < <(setup_missing "$@")
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    setup_say "Packages are missing. Install them once as root, then run this again:"
    setup_say "  sudo apt-get update && sudo apt-get install --no-install-recommends -y ${missing[*]}"
    return 1
  fi
  setup_say "Installing with apt-get: ${missing[*]}"
  mkdir -p "$setup_root/build"
  local log=$setup_root/build/apt.log
  if ! setup_install "${missing[@]}" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    setup_say "apt-get failed (all of it: build/apt.log). Is there a network, and are the sources of apt those of Debian 12?"
    return 1
  fi
}

setup_build() {
  local preset=$1 log
  shift
  log=$setup_root/build/$preset.log
  if ! mkdir -p "$setup_root/build" 2>/dev/null || ! touch "$log" 2>/dev/null ||
     [[ -e $setup_root/build/$preset && ! -w $setup_root/build/$preset ]]; then
    setup_say "build/ belongs to somebody else ($(stat -c %U "$setup_root/build" 2>/dev/null || stat -c %U "$setup_root")):" \
              "use a checkout of your own, or remove build/."
    return 1
  fi
  if ! (cd "$setup_root" && cmake --preset "$preset") >"$log" 2>&1; then
    cat "$log" >&2
    setup_say "cmake --preset $preset failed."
    return 1
  fi
  local arguments=(--build "$setup_root/build/$preset" --parallel "$(nproc)")
  (($#)) && arguments+=(--target "$@")
  if [[ -t 2 ]]; then
    cmake "${arguments[@]}" >&2 && return 0
  else
    cmake "${arguments[@]}" >>"$log" 2>&1 && return 0
    grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking|Re-running)|^--' "$log" | head -n 60 >&2
  fi
  setup_say "The build failed (all of it: build/$preset.log)."
  return 1
}
