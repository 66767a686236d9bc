#!/usr/bin/env bash
# Runs the tests of every module with the given arguments for `go test`. The last line is "N passed, N failed"; .build/test/count
# keeps it. The exit status is not 0 when a test or a package failed, or when nothing ran.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/modules.sh"

"$root/tools/ensure-postgres.sh"
"$root/tools/ensure-chromium.sh"
gotestsum=$(tool tools gotest.tools/gotestsum)
testcount=$(tool tools quartermaster/tools/testcount)

results=$root/.build/test
rm -rf "$results"
mkdir -p "$results"
status=0
files=()
for module in $(modules); do
	file=$results/${module//\//-}.json
	[[ $module == . ]] && file=$results/quartermaster.json
	files+=("$file")
	echo "== module $module"
	(cd "$root/$module" && "$gotestsum" --format pkgname --format-hide-empty-pkg --hide-summary skipped --jsonfile "$file" -- "$@" ./...) || status=$?
done

counted=0
"$testcount" -status "$status" "${files[@]}" | tee "$results/summary" || counted=$?
tail -n 1 "$results/summary" >"$results/count"
exit "$counted"
