# `just demo` shows the whole path of an event; `just test` is everything that must hold. Each installs what it lacks, says
# so, and does nothing twice.

set shell := ["bash", "-euo", "pipefail", "-c"]

target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
guests := target / "guests"
nextest := "0.9.151"
deny := "0.20.2"
python := target / "python"
judges := target / "judges"

export CARGO_TERM_PROGRESS_WHEN := env("CARGO_TERM_PROGRESS_WHEN", "never")
export KHEISH_GUESTS := guests
export KHEISH_JUDGES := judges

[private]
default:
    @just --list --unsorted

# Build everything, then send signed events through a daemon of its own and check each step; then the platforms.
demo: build
    "{{ target }}/debug/kheishd" demo --plugins "{{ guests }}/plugins"
    KHEISHD_BIN="{{ target }}/debug/kheishd" "{{ target }}/debug/demo"

# Everything that must hold: style, lints, licences, documentation, and all tests.
test: tools lint build
    KHEISH_SCHEMATHESIS="{{ python }}/bin/schemathesis" cargo nextest run --workspace
    cargo test --doc --quiet
    cargo test --manifest-path guest-connectors/Cargo.toml --workspace --quiet

# Measure a release build: rates, latencies, start, memory. Prints a table and writes target/bench.json.
bench *options: guests
    cargo build --release --package kheish --package kheish-host-tests --bins
    "{{ target }}/release/bench" --kheishd "{{ target }}/release/kheishd" --plugins "{{ guests }}/plugins" --out "{{ target }}/bench.json" {{ options }}

# Build the daemon and the guests.
build: guests
    cargo build --workspace

# Compile the guest connectors to WebAssembly, unless they are there already.
guests:
    @guest-connectors/build.sh "{{ guests }}"

# Formatting, lints, types of the examples, documentation and licences.
lint:
    cargo fmt --all --check
    cargo fmt --manifest-path guest-connectors/Cargo.toml --all --check
    cargo fmt --manifest-path examples/own-connector/Cargo.toml --check
    cargo clippy --workspace --all-targets --quiet -- --deny warnings
    cargo clippy --manifest-path guest-connectors/Cargo.toml --workspace --all-targets --quiet -- --deny warnings
    "{{ python }}/bin/mypy" --strict --no-error-summary --cache-dir "{{ target }}/mypy" examples/sidecar-python
    "{{ judges }}/node_modules/.bin/tsc" --project examples/sidecar-node --typeRoots "{{ judges }}/node_modules/@types"
    RUSTDOCFLAGS="--deny warnings --allow rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --quiet
    cargo deny --log-level error check bans licenses sources

# Look up known vulnerabilities of every dependency (needs the network).
audit:
    cargo deny check advisories

# What lints and tests need beside the toolchain: nextest, cargo-deny, a PostgreSQL server's programs, Node, Schemathesis, and what judges.
[private]
tools:
    #!/usr/bin/env bash
    set -euo pipefail
    have() { command -v "$1" >/dev/null; }
    have cargo-nextest || { echo "installing cargo-nextest"; cargo install --quiet --locked cargo-nextest@{{ nextest }}; }
    have cargo-deny || { echo "installing cargo-deny"; cargo install --quiet --locked cargo-deny@{{ deny }}; }
    as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
    if ! have initdb && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        echo "installing PostgreSQL: the tests start servers of their own"
        as_root mkdir -p /etc/postgresql-common
        # Only the programs are wanted, no server that runs from now on.
        [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
        as_root apt-get update -q=2
        as_root apt-get install -y -q=2 --no-install-recommends postgresql
    fi
    # Debian's Node comes without npm, and others' Node with it.
    lacks=()
    have node || lacks+=(nodejs)
    have npm || lacks+=(npm)
    if [ ${#lacks[@]} != 0 ]; then
        echo "installing Node (${lacks[*]}): the example of a sidecar in it is tested, and grammY judges a double"
        as_root apt-get update -q=2
        as_root apt-get install -y -q=2 --no-install-recommends "${lacks[@]}"
    fi
    if ! cmp --quiet host-tests/judges/package-lock.json "{{ judges }}/installed"; then
        echo "installing grammY and TypeScript into {{ judges }}: they judge the double of Telegram and the example in Node"
        mkdir -p "{{ judges }}"
        cp host-tests/judges/package.json host-tests/judges/package-lock.json "{{ judges }}"
        npm ci --prefix "{{ judges }}" --silent --ignore-scripts --no-audit --no-fund
        cp host-tests/judges/package-lock.json "{{ judges }}/installed"
    fi
    if ! cmp --quiet host-tests/requirements.txt "{{ python }}/installed"; then
        # Debian's Python comes without what makes virtual environments.
        if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
            echo "installing python3-venv"
            as_root apt-get update -q=2
            as_root apt-get install -y -q=2 --no-install-recommends python3-venv
        fi
        echo "installing Schemathesis, a validator, slack_sdk, python-telegram-bot, aiogram and mypy into {{ python }}: they test the API, its document, doubles and the example in Python"
        python3 -m venv --clear "{{ python }}"
        "{{ python }}/bin/pip" install --quiet --disable-pip-version-check --requirement host-tests/requirements.txt
        cp host-tests/requirements.txt "{{ python }}/installed"
    fi
