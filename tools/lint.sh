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

# sources lists the Go files that git does not ignore.
sources() { git ls-files --cached --others --exclude-standard -- '*.go' | while read -r file; do if [[ -f $file ]]; then echo "$file"; fi; done; }

formatted() {
	local unformatted
	unformatted=$(sources | xargs gofmt -l)
	if [[ -n $unformatted ]]; then
		printf 'not formatted, run `make fmt`:\n%s\n' "$unformatted"
		return 1
	fi
}

# generated runs the generators and compares the result with the files that were there before. A developer need not commit first;
# CI, which has a fresh clone, compares with the commit.
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
	git ls-files --cached --others --exclude-standard -- '*.gen.go' docs/errors.md | LC_ALL=C sort | while read -r file; do
		if [[ -f $file ]]; then cksum "$file"; fi
	done
}

tidy() { (cd "$1" && go mod tidy -diff); }
vet() { (cd "$1" && go vet ./...); }
golangci() { (cd "$1" && "$golangci" run --config "$root/.golangci.yml" ./...); }

# vulnerable reports known vulnerabilities that our code reaches. Where the database on the network cannot be reached, the check
# says that it was skipped.
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

# dead reports exported code that nothing uses, or that only tests and the packages that exist for tests use.
test_packages=quartermaster/dev,quartermaster/api/apitest,quartermaster/console/issuertest,quartermaster/internal/awssim,quartermaster/internal/postgres/pgtest,quartermaster/workflows/control/controltest
dead() {
	local work status=0
	work=$(mktemp -d)
	(cd "$work" && go work init "$root" "$root/dev")
	GOWORK=$work/go.work "$deadcode" -allow tools/deadcode/allowed.txt -templates console/templates \
		-tests "$test_packages" ./... ./dev/... || status=$?
	rm -rf "$work"
	return "$status"
}

# The linters of the API document. They send nothing to anyone.
spectral() { .build/node/node_modules/.bin/spectral lint --quiet --fail-severity=warn --ruleset tools/node/spectral.yaml api/openapi/openapi.yaml; }
redocly() {
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
		.build/node/node_modules/.bin/redocly lint --config tools/node/redocly.yaml --format=stylish api/openapi/openapi.yaml
}

golangci=$(tool tools github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
workflowcheck=$(tool tools go.temporal.io/sdk/contrib/tools/workflowcheck)
govulncheck=$(tool tools golang.org/x/vuln/cmd/govulncheck)
deadcode=$(tool tools quartermaster/tools/deadcode)
checkdocs=$(tool tools quartermaster/tools/checkdocs)
gitleaks=$(tool tools/gitleaks github.com/zricethezav/gitleaks/v8 gitleaks)

check gofmt formatted
check 'generated code' generated
for module in $(modules); do
	check "go mod tidy in $module" tidy "$module"
	check "go vet in $module" vet "$module"
	check "golangci-lint in $module" golangci "$module"
done
check 'programs of Node.js' tools/ensure-node.sh
check 'API document: Spectral' spectral
check 'API document: Redocly' redocly
check 'dead code' dead
# Tests may do what workflows must not: the simulation of the property test is not a workflow.
check workflowcheck "$workflowcheck" -test=false ./workflows/...
check gitleaks "$gitleaks" dir --no-banner --redact --verbose --log-level=warn --config .gitleaks.toml .
check 'govulncheck in .' vulnerable .
check 'documents: links and style' "$checkdocs" markdown .
check 'documents, comments and messages: words' "$checkdocs" prose .

if ((${#red[@]} > 0)); then
	printf '\nred:\n'
	printf '  %s\n' "${red[@]}"
	exit 1
fi
echo 'lint: all green'
