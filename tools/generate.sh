#!/usr/bin/env bash
# Runs `go generate` in every module.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/modules.sh"
for module in $(modules); do
	(cd "$root/$module" && go generate ./...)
done
