#!/usr/bin/env bash
# Makes sure that PostgreSQL's server programs, 15 or newer, are on this machine, and installs them if it may. Tests and the
# dev environment start their own servers from them: no service is needed, and none that runs is touched.
# The places are those of internal/postgres/pgtest/install.go.
set -euo pipefail

readonly minimum=15
readonly how="PostgreSQL $minimum or newer is needed: run \`apt-get install postgresql\`, \`dnf install postgresql-server\` or \`brew install postgresql@17\`, or set PG_BINDIR to the folder that holds initdb and postgres."

# usable DIR: DIR holds a server of a supported version. Links are followed, as initdb lies beside the real program.
usable() {
	local program version
	program=$(readlink -f -- "$1/postgres" 2>/dev/null) && [[ -x $program && -x ${program%/*}/initdb ]] || return 1
	version=$("$program" --version 2>/dev/null) || return 1
	[[ $version =~ ^postgres\ \(PostgreSQL\)\ ([0-9]+) ]] && ((BASH_REMATCH[1] >= minimum))
}

present() {
	local dir path
	if [[ -n ${PG_BINDIR:-} ]]; then
		usable "$PG_BINDIR"
		return
	fi
	IFS=: read -ra path <<<"$PATH"
	for dir in "${path[@]}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin \
		/usr/local/opt/postgresql*/bin /home/linuxbrew/.linuxbrew/opt/postgresql*/bin /Applications/Postgres.app/Contents/Versions/*/bin; do
		if usable "$dir"; then return 0; fi
	done
	return 1
}

# as_root COMMAND…: never asks for a password, because nobody may be there to type one.
as_root() {
	if ((EUID == 0)); then
		"$@"
	else
		sudo -n "$@"
	fi
}

may_be_root() { ((EUID == 0)) || sudo -n true 2>/dev/null; }

if present; then exit 0; fi
if [[ -n ${PG_BINDIR:-} ]]; then
	echo "PG_BINDIR is $PG_BINDIR, which holds no PostgreSQL $minimum or newer: correct or unset it." >&2
	exit 1
fi
if command -v apt-get >/dev/null && may_be_root; then
	echo "Installing PostgreSQL with apt-get …" >&2
	as_root apt-get update -qq >&2
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >&2
elif command -v dnf >/dev/null && may_be_root; then
	echo "Installing PostgreSQL with dnf …" >&2
	as_root dnf install -y -q postgresql-server >&2
elif command -v brew >/dev/null; then
	echo "Installing PostgreSQL with Homebrew …" >&2
	brew install --quiet postgresql@17 >&2
fi
if ! present; then
	echo "$how" >&2
	exit 1
fi
