#!/usr/bin/env bash
# Builds the guests into WebAssembly components.
#
#   build.sh [OUT_DIR]                 OUT_DIR/{plugins/{http,slack,telegram},fixtures/{courier,finder,misbehaving,outbox},examples/github}.wasm
#                                      (OUT_DIR: $CARGO_TARGET_DIR/guests, or target/guests of this repository)
#   build.sh --crate DIR OUT.wasm      one connector crate of your own
#
# Rust's std for WebAssembly comes from the first of these that works: the installed target; `rustup target add`; the
# toolchain's rust-src; Debian's rust-src of the same version; Debian's own compiler. Environment:
#
#   KHEISH_GUEST_CACHE    finished components, downloads and cargo's target folder (~/.cache/kheish/guests)
#   KHEISH_GUEST_RUSTUP   0: do not ask rustup for the target
set -euo pipefail

readonly TARGET=wasm32-unknown-unknown SUITE=trixie-backports
start=$PWD
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The compiler is the one of this folder, whatever crate is built.
cd "$repo/guest-connectors"
out_default=${CARGO_TARGET_DIR:-$repo/target}/guests
# What a caller's cargo wants for the host must not reach ours.
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC RUSTC_WORKSPACE_WRAPPER

say() { echo "guests: $*" >&2; }
die() { say "$*"; exit 1; }
absolute() { case $1 in /*) echo "$1" ;; *) echo "$start/$1" ;; esac; }

cache=$(absolute "${KHEISH_GUEST_CACHE:-$HOME/.cache/kheish/guests}")

# --- where std comes from; each source succeeds, or leaves everything as it was ---

cargo=(cargo) std=() std_source=

from_installed_target() {
  compgen -G "$(rustc --print target-libdir --target $TARGET)/libstd-*.rlib" >/dev/null && say "std: the installed target"
}

from_rustup() {
  [ "${KHEISH_GUEST_RUSTUP:-1}" != 0 ] && command -v rustup >/dev/null || return 1
  say "std: asking rustup for $TARGET"
  timeout 180 rustup target add $TARGET >&2 && from_installed_target
}

from_rust_src() {
  std_source=$sysroot/lib/rustlib/src/rust/library
  [ -e "$std_source/Cargo.lock" ] && say "std: built from the toolchain's rust-src" && build_std
}

from_debian_source() {
  std_source=$cache/rust-src-$version/library
  [ -e "$std_source/Cargo.lock" ] || fetch_debian_source || return 1
  say "std: built from Debian's rust-src $version"
  # Cargo looks for the source inside the toolchain, which stays untouched: this variable of its own tests moves it.
  export __CARGO_TESTS_ONLY_SRC_ROOT=$std_source
  build_std
}

from_debian_compiler() {
  command -v apt-get >/dev/null || return 1
  say "std: installing Debian's compiler (rustc-web) and its source"
  as_root apt-get update -q=2 >&2 || return 1
  as_root apt-get install -y -q=2 --no-install-recommends rustc-web cargo-web rust-web-src lld-19 >&2 || return 1
  version=$(/usr/bin/rustc --version | cut -d' ' -f2)
  std_source=/usr/src/rustc-$version/library
  cargo=(/usr/bin/cargo)
  export RUSTC=/usr/bin/rustc PATH=$PATH:/usr/lib/llvm-19/bin
  build_std
}

build_std() {
  std=("-Zbuild-std=std,panic_abort")
  export RUSTC_BOOTSTRAP=1
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Debian's rust-src of exactly this compiler's version, through an apt configuration, lists and cache of our own: the
# system's stay as they are, and nobody has to be root.
fetch_debian_source() {
  local apt=$cache/apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror found=
  command -v dpkg-deb >/dev/null && [ -n "$version" ] && [ -r $keyring ] || return 1
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  printf '%s "%s";\n' Dir::Etc::SourceList "$apt/sources.list" Dir::Etc::SourceParts - Dir::State::Lists "$apt/lists" \
    Dir::Cache "$apt/cache" APT::Sandbox::User "$(id -un)" Acquire::Languages none \
    Acquire::IndexTargets::deb::DEP-11::DefaultEnabled false >"$apt/apt.conf"
  echo '#clear APT::Update;' >>"$apt/apt.conf"
  for mirror in $(debian_mirrors); do
    say "std: looking for Debian's rust-src $version at $mirror"
    echo "deb [signed-by=$keyring] $mirror $SUITE main" >"$apt/sources.list"
    apt-get -c "$apt/apt.conf" update -q=2 >&2 || continue
    found=$(apt-cache -c "$apt/apt.conf" madison rust-src | awk -v want="$version+" 'index($3, want) == 1 { print $3; exit }')
    [ -z "$found" ] || break
  done
  [ -n "$found" ] || return 1
  (cd "$apt" && rm -f ./*.deb && apt-get -c apt.conf download -q=2 "rust-src=$found" >&2) || return 1
  rm -rf "$apt/unpacked" "$std_source" && mkdir -p "$apt/unpacked" "$(dirname "$std_source")" || return 1
  dpkg-deb --fsys-tarfile "$apt"/rust-src_*.deb |
    tar -x -C "$apt/unpacked" --strip-components=4 --wildcards './usr/src/rustc-*/library' || return 1
  mv "$apt/unpacked/library" "$std_source" && rm -f "$apt"/*.deb
}

# Debian's own mirror, and those that this machine uses already.
debian_mirrors() {
  # shellcheck disable=SC2016 # apt expands it, not the shell
  local format='$(REPO_URI)'
  { apt-get indextargets --format "$format" 'Created-By: Packages' 'Component: main' && echo http://deb.debian.org/debian; } |
    grep -v security | sed 's:/*$::' | sort -u
}

# rustup's toolchains bring a linker that makes the component.
find_linker() {
  local tools=$sysroot/lib/rustlib/$host/bin
  export PATH=$PATH:$tools/gcc-ld:$cache/tools/bin
  linker=$tools/wasm-component-ld
  [ -x "$linker" ] || linker=$(command -v wasm-component-ld) && return
  say "building wasm-component-ld"
  "${cargo[@]}" install -q --locked --root "$cache/tools" wasm-component-ld >&2
  linker=$cache/tools/bin/wasm-component-ld
}

prepare() {
  sysroot=$(rustc --print sysroot) host=$(rustc -vV | sed -n 's/^host: //p') version=$(rustc -vV | sed -n 's/^release: //p')
  from_installed_target || from_rustup || from_rust_src || from_debian_source || from_debian_compiler ||
    die "there is no Rust standard library for $TARGET: run \`rustup target add $TARGET\` and try again"
  find_linker
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker
  # No path of this machine in a panic message. Of several matching prefixes the last counts.
  # Small and all there from the start: a fresh instance touches few pages, and its memory need not grow.
  local separator=$'\x1f' flags=(-Clink-arg=-zstack-size=65536 -Clink-arg=--initial-heap=131072) prefix
  for prefix in "$HOME=/home" "$cache=/cache" "$repo=/kheish" "${CARGO_HOME:-$HOME/.cargo}=/cargo" ${std_source:+"$std_source=/std"}; do
    flags+=("--remap-path-prefix=$prefix")
  done
  CARGO_ENCODED_RUSTFLAGS=$(IFS=$separator && echo "${flags[*]}")
  export CARGO_ENCODED_RUSTFLAGS
}

# compile CRATE_DIR OUT.wasm [CARGO_OPTION…]
compile() {
  local wasm
  wasm=$("${cargo[@]}" build --manifest-path "$1/Cargo.toml" --release --target $TARGET --target-dir "$cache/target" \
    "${std[@]}" "${@:3}" --message-format json-render-diagnostics 9>&- | sed -n 's/.*"\([^"]*\.wasm\)".*/\1/p' | tail -1)
  [ -n "$wasm" ] || die "$1 makes no component: its [lib] needs crate-type = [\"cdylib\"]"
  mkdir -p "$(dirname "$2")"
  cp "$wasm" "$2"
}

# The folder of finished components: named by a hash of every source, of this script and of the compiler.
kept() {
  local sources=(../wit ../guest-connectors ../examples/own-connector)
  local hash
  hash=$({ rustc -vV && find "${sources[@]}" -name target -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; } | sha256sum)
  echo "$cache/components/${hash:0:32}"
}

# publish FROM TO: whole or not at all, and untouched when equal
publish() {
  cmp -s "$1" "$2" && return
  mkdir -p "$(dirname "$2")"
  cp "$1" "$2.$$" && mv "$2.$$" "$2"
  say "$2 ($(stat -c %s "$2") bytes)"
}

build_one() {
  prepare
  compile "$1" "$cache/one.wasm"
  publish "$cache/one.wasm" "$2"
}

build_all() {
  local kept wasm
  kept=$(kept)
  if [ ! -d "$kept" ]; then
    prepare
    rm -rf "$cache/building"
    compile http "$cache/building/plugins/http.wasm" --locked
    compile slack "$cache/building/plugins/slack.wasm" --locked
    compile telegram "$cache/building/plugins/telegram.wasm" --locked
    compile fixtures/courier "$cache/building/fixtures/courier.wasm" --locked
    compile fixtures/misbehaving "$cache/building/fixtures/misbehaving.wasm" --locked
    compile fixtures/outbox "$cache/building/fixtures/outbox.wasm" --locked
    compile fixtures/outbox "$cache/building/fixtures/finder.wasm" --locked --features finder
    compile ../examples/own-connector "$cache/building/examples/github.wasm" --locked
    mv "$cache/building" "$kept"
  fi
  touch "$kept"
  find "$cache/components" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
  for wasm in "$kept"/*/*.wasm; do publish "$wasm" "$1/${wasm#"$kept/"}"; done
}

usage='usage: build.sh [OUT_DIR] | build.sh --crate DIR OUT.wasm'
command -v rustc >/dev/null || die "there is no rustc: install Rust with rustup, https://rustup.rs"

mkdir -p "$cache/components"
exec 9>"$cache/lock"
flock 9
case ${1:-} in
  --crate)
    [ $# = 3 ] || die "$usage"
    out=$(absolute "$3")
    build_one "$(absolute "$2")" "$out"
    ;;
  -*) die "$usage" ;;
  *)
    [ $# -le 1 ] || die "$usage"
    out=$(absolute "${1:-$out_default}")
    build_all "$out"
    ;;
esac
say "up to date: $out"
