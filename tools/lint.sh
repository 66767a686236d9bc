#!/usr/bin/env bash
# Runs every check that needs no running program, all of them even when one is red, and names the red ones at the end.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/modules.sh"
cd "$root"

red=()
# check NAME COMMAND… runs one check in the current folder.
check() {
	local name=$1
	shift
	echo "== $name"
	if ! "$@"; then red+=("$name"); fi
}

# sources lists Go files with git where there is a repository, so that what is ignored stays unread.
sources() { git ls-files --cached --others --exclude-standard -- '*.go' | while read -r file; do if [[ -f $file ]]; then echo "$file"; fi; done; }

formatted() {
	local unformatted
	unformatted=$(sources | xargs gofmt -l)
	if [[ -n $unformatted ]]; then
		printf 'not formatted, run `make fmt`:\n%s\n' "$unformatted"
		return 1
	fi
}

# generated runs the generators and compares the result with what was there: a developer who has not committed yet is not
# bothered, and CI, which has a fresh clone, compares with the commit.
generated() {
	local before after
	before=$(checksums)
	"$root/tools/generate.sh" || return 1
	after=$(checksums)
	if [[ $before != "$after" ]]; then
		echo 'generated code was out of date; commit what `make generate` has just made:'
		diff <(echo "$before") <(echo "$after") || true
		return 1
	fi
}

checksums() {
	git ls-files --cached --others --exclude-standard -- '*.gen.go' | LC_ALL=C sort | while read -r file; do
		if [[ -f $file ]]; then cksum "$file"; fi
	done
}

tidy() { (cd "$1" && go mod tidy -diff); }
vet() { (cd "$1" && go vet ./...); }
golangci() { (cd "$1" && "$golangci" run --config "$root/.golangci.yml" ./...); }

# vulnerable reports known vulnerabilities that our code reaches. The database is on the network; where that cannot be
# reached the check says that it did not run.
vulnerable() {
	local out status=0
	out=$(cd "$1" && "$govulncheck" ./... 2>&1) || status=$?
	case $status in
	0) echo "$out" | tail -n 1 ;;
	3)
		echo "$out"
		return 1
		;;
	*)
		if grep -qE 'fetching vulnerabilities|vuln\.go\.dev' <<<"$out"; then
			echo 'skipped: no database'
		else
			echo "$out"
			return 1
		fi
		;;
	esac
}

golangci=$(tool tools github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
workflowcheck=$(tool tools go.temporal.io/sdk/contrib/tools/workflowcheck)
govulncheck=$(tool tools golang.org/x/vuln/cmd/govulncheck)
checkdocs=$(tool tools quartermaster/tools/checkdocs)
gitleaks=$(tool tools/gitleaks github.com/zricethezav/gitleaks/v8 gitleaks)

check gofmt formatted
check 'generated code' generated
for module in $(modules); do
	check "go mod tidy in $module" tidy "$module"
	check "go vet in $module" vet "$module"
	check "golangci-lint in $module" golangci "$module"
done
# Tests may do what workflows must not: the simulated world of the property test is no workflow.
check workflowcheck "$workflowcheck" -test=false ./workflows/...
check gitleaks "$gitleaks" dir --no-banner --redact --verbose --log-level=warn --config .gitleaks.toml .
check 'govulncheck in .' vulnerable .
check 'documents: links and style' "$checkdocs" markdown .

if ((${#red[@]} > 0)); then
	printf '\nred:\n'
	printf '  %s\n' "${red[@]}"
	exit 1
fi
echo 'lint: all green'
