package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ruleRow matches a row of the tables under "Where a rule lives": the rule, the file, and a name in the file.
var ruleRow = regexp.MustCompile("^\\| (.+) \\| `([^`]+)` \\| `([^`]+)` \\|$")

func TestEveryRuleIsInTheFileThatTheArchitectureNames(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/architecture.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(document), "\n## Where a rule lives\n")
	require.True(t, found, "docs/architecture.md has no section about the rules")
	rules := 0
	for line := range strings.SplitSeq(section, "\n") {
		row := ruleRow.FindStringSubmatch(line)
		if row == nil {
			continue
		}
		rules++
		rule, file, name := row[1], row[2], row[3]
		content, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		if !strings.Contains(string(content), name) {
			t.Errorf("%s: %s does not contain %s", rule, file, name)
		}
	}
	require.GreaterOrEqual(t, rules, 40, "the tables of the rules were not found")
}

// findingKind matches the declaration of a kind of finding.
var findingKind = regexp.MustCompile(`\bKind\w+\s+Kind\s+= "(\w+)"`)

func TestEveryFindingOfTheReconcilerHasAPlaceInTheOperationsPages(t *testing.T) {
	t.Parallel()
	pages := readAll(t, "../../docs/operations/findings-*.md")
	kinds := findingKind.FindAllStringSubmatch(readAll(t, "../reconcile/*.go"), -1)
	require.NotEmpty(t, kinds, "no kind of finding is declared in internal/reconcile")
	for _, kind := range kinds {
		if !strings.Contains(pages, "`"+kind[1]+"`") {
			t.Errorf("no page docs/operations/findings-*.md says what to do about %s", kind[1])
		}
	}
}

// alertRule matches the name of an alert rule for Prometheus.
var alertRule = regexp.MustCompile(`- alert: (\w+)`)

func TestEveryAlertHasAPage(t *testing.T) {
	t.Parallel()
	index := readAll(t, "../../docs/operations/README.md")
	alerts := alertRule.FindAllStringSubmatch(readAll(t, "../../docs/operations/metrics.md"), -1)
	require.NotEmpty(t, alerts, "docs/operations/metrics.md has no alert rules")
	for _, alert := range alerts {
		if !strings.Contains(index, "`"+alert[1]+"`") {
			t.Errorf("docs/operations/README.md names no page for the alert %s", alert[1])
		}
	}
}

// readAll returns the content of the files that match the pattern.
func readAll(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, names, "no file matches %s", pattern)
	var all strings.Builder
	for _, name := range names {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		all.Write(content)
	}
	return all.String()
}
