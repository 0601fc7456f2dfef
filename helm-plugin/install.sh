#!/bin/sh
# Builds helm-fleet, puts it where plugin.yaml looks for it, and installs this folder into helm.
#
# usage: helm-plugin/install.sh [BINARY]
#   BINARY   a helm-fleet that is built already; without it cargo builds one
#   HELM_BIN names the helm to install into; without it the one on the path
set -eu
plugin=$(cd "$(dirname "$0")" && pwd)
binary=${1:-}
if [ -z "$binary" ]; then
    cargo build --release --manifest-path "$plugin/../Cargo.toml" --package helm-fleet
    binary=${CARGO_TARGET_DIR:-$plugin/../target}/release/helm-fleet
fi
mkdir -p "$plugin/bin"
# Copied under another name first: a running helm-fleet keeps its file.
cp "$binary" "$plugin/bin/.helm-fleet.new"
mv "$plugin/bin/.helm-fleet.new" "$plugin/bin/helm-fleet"
helm=${HELM_BIN:-helm}
"$helm" plugin uninstall fleet >/dev/null 2>&1 || true
"$helm" plugin install "$plugin"
