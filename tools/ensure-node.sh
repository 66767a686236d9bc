#!/usr/bin/env bash
# Makes sure that Node.js 20 or newer is on this machine, and that the programs of tools/node/package-lock.json are in
# .build/node: the linters of the API document, and the generators of TypeScript clients. Does nothing when both are there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/modules.sh"

readonly minimum=20
readonly how="Node.js $minimum or newer with npm is needed: run \`apt-get install nodejs npm\`, \`dnf install nodejs npm\` or \`brew install node\`."

present() {
	local version
	command -v npm >/dev/null && version=$(node --version 2>/dev/null) && [[ $version =~ ^v([0-9]+) ]] && ((BASH_REMATCH[1] >= minimum))
}

may_be_root() { ((EUID == 0)) || sudo -n true 2>/dev/null; }

# as_root COMMAND… runs a command as root. It never asks for a password, because no one may be there to type it.
as_root() {
	if ((EUID == 0)); then
		"$@"
	else
		sudo -n "$@"
	fi
}

if ! present; then
	if command -v apt-get >/dev/null && may_be_root; then
		echo "Installing Node.js with apt-get …" >&2
		as_root apt-get update -qq >&2
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >&2
	elif command -v dnf >/dev/null && may_be_root; then
		echo "Installing Node.js with dnf …" >&2
		as_root dnf install -y -q nodejs npm >&2
	elif command -v brew >/dev/null; then
		echo "Installing Node.js with Homebrew …" >&2
		brew install --quiet node >&2
	fi
fi
if ! present; then
	echo "$how" >&2
	exit 1
fi

# Two tests may run this at the same time. The lock file that npm installed from is copied last, when everything is there.
folder=$root/.build/node
mkdir -p "$folder"
if command -v flock >/dev/null; then
	exec 9>"$folder/.lock"
	flock 9
fi
if ! cmp -s "$root/tools/node/package-lock.json" "$folder/installed.json"; then
	cp "$root/tools/node/package.json" "$root/tools/node/package-lock.json" "$folder/"
	(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
	cp "$root/tools/node/package-lock.json" "$folder/installed.json"
fi
