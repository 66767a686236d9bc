package arch

import (
	"os"
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
