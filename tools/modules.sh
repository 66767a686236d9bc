# The other scripts source this one: the repository's folder, its Go modules and the tools that are built from tools/go.mod.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$root/.build/bin

# modules prints the folder of every Go module that has code. tools/gitleaks only pins a program.
modules() {
	local file
	for file in go.mod dev/go.mod dev/temporal-server/go.mod tools/go.mod; do
		if [[ -f $root/$file ]]; then dirname "$file"; fi
	done
}

# tool MODULE PACKAGE [NAME] builds a pinned program, unless it is up to date, and prints its path.
tool() {
	local name=${3:-${2##*/}}
	mkdir -p "$bin"
	go build -C "$root/$1" -o "$bin/$name" "$2" >&2
	echo "$bin/$name"
}
