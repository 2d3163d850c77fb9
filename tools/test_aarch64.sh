#!/usr/bin/env bash
# The kernels' tests on aarch64: compiled for it and run in QEMU's emulation. Debian's packages carry a compiler with that processor's standard library; they
# are fetched and unpacked below build/aarch64, nothing is installed. Where they are not to be had, this says so and passes.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/build/aarch64
target=aarch64-unknown-linux-gnu

if [ "$(uname -m)" = aarch64 ]; then
  exec cargo test --release --lib --manifest-path tools/aarch64/Cargo.toml --target-dir "$work/target"
fi
skip() {
  echo "SKIPPED the kernels on aarch64: $1"
  exit 0
}
[ "$(uname -sm)" = "Linux x86_64" ] || skip "only Linux on x86-64 is prepared for it"
command -v apt-get >/dev/null && command -v dpkg >/dev/null || skip "without apt-get there is no compiler for it"
[ -x build/venv/bin/python ] && build/venv/bin/python -c 'import ziglang' 2>/dev/null || skip "without ziglang there is no linker for it: make dist fetches it"

if [ ! -e "$work/ready" ]; then
  rm -rf "$work/apt" "$work/root"
  mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/root"
  apt=(-qq -oAPT::Architectures::=amd64 -oAPT::Architectures::=arm64 "-oDir::State::Lists=$work/apt/lists" "-oDir::Cache=$work/apt/cache" -oAPT::Sandbox::User=root)
  apt-get "${apt[@]}" update >/dev/null 2>&1 || true
  library=$(apt-cache "${apt[@]}" depends libstd-rust-web-dev 2>/dev/null | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p' | head -n 1 || true)
  llvm=$(apt-cache "${apt[@]}" depends "${library:-none}" 2>/dev/null | sed -n 's/.*Depends: \(libllvm[0-9]*\).*/\1/p' | head -n 1 || true)
  [ -n "$library" ] && [ -n "$llvm" ] || skip "apt knows no rustc-web here"
  (cd "$work/apt" && apt-get "${apt[@]}" download rustc-web "$library" "$llvm" libstd-rust-web-dev:amd64 libstd-rust-web-dev:arm64 libc6:arm64 libgcc-s1:arm64 qemu-user-static) ||
    skip "its packages could not be fetched"
  for package in "$work"/apt/*.deb; do dpkg -x "$package" "$work/root"; done
  find "$work/root/usr/bin" -name 'qemu-*' ! -name qemu-aarch64-static -delete
  rm -rf "$work/apt"
  cat >"$work/rustc" <<EOF
#!/bin/sh
LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu exec $work/root/usr/bin/rustc "\$@"
EOF
  cat >"$work/cc" <<EOF
#!/bin/sh
exec $PWD/build/venv/bin/python -m ziglang cc -target aarch64-linux-gnu "\$@"
EOF
  chmod +x "$work/rustc" "$work/cc"
  touch "$work/ready"
fi

export RUSTC=$work/rustc QEMU_LD_PREFIX=$work/root
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$work/cc CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$work/root/usr/bin/qemu-aarch64-static
cargo test --release --lib --manifest-path tools/aarch64/Cargo.toml --target "$target" --target-dir "$work/target"
