package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// cataloged returns the values that a schema of the document lists, and the rows of the table in its description by their value.
func cataloged(t *testing.T, schema string) (values []string, rows map[string][]string) {
	t.Helper()
	c, err := loadContract()
	require.NoError(t, err)
	found := c.doc.Components.Schemas[schema].Value
	listed, _ := found.Extensions["x-extensible-enum"].([]any)
	for _, value := range append(listed, found.Enum...) {
		text, isText := value.(string)
		require.True(t, isText, "%s: %v", schema, value)
		values = append(values, text)
	}
	require.NotEmpty(t, values, schema)
	rows = map[string][]string{}
	for line := range strings.SplitSeq(found.Description, "\n") {
		if cells := strings.Split(strings.Trim(line, "| "), " | "); strings.HasPrefix(line, "| `") {
			for _, cell := range cells {
				require.NotEmpty(t, strings.TrimSpace(cell), line)
			}
			rows[strings.Trim(cells[0], "`")] = cells[1:]
		}
	}
	require.ElementsMatch(t, values, slices.Collect(maps.Keys(rows)), "%s: each value has a row in the table, and no other has", schema)
	return values, rows
}

// declared returns the values of the constants that the files of a folder declare with that type of package provision.
func declared(t *testing.T, folder, name string) (values []string) {
	t.Helper()
	files, err := fs.Glob(os.DirFS(folder), "*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), folder+"/"+file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			constant, ok := n.(*ast.ValueSpec)
			if !ok || len(constant.Values) != 1 || nameOf(constant.Type) != name {
				return true
			}
			if literal, ok := constant.Values[0].(*ast.BasicLit); ok {
				value, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				values = append(values, value)
			}
			return true
		})
	}
	return values
}

// nameOf returns the name of a type, without its package.
func nameOf(typ ast.Expr) string {
	switch typ := typ.(type) {
	case *ast.Ident:
		return typ.Name
	case *ast.SelectorExpr:
		return typ.Sel.Name
	}
	return ""
}

func TestEveryProblemIsInTheCatalog(t *testing.T) {
	t.Parallel()
	documented, rows := cataloged(t, "ProblemCode")
	var answered []string
	for code, row := range problems {
		answered = append(answered, string(code))
		require.Equal(t, strconv.Itoa(row.status), rows[string(code)][0], code)
	}
	require.ElementsMatch(t, answered, documented)
	require.Subset(t, documented, declared(t, ".", "Code"), "a code that only HTTP has")
}

func TestEveryFailureIsInTheCatalog(t *testing.T) {
	t.Parallel()
	documented, rows := cataloged(t, "FailureCode")
	require.ElementsMatch(t, declared(t, "../internal/provision", "Code"), documented)
	for code, row := range rows {
		switch provision.Code(code).Kind() {
		case provision.KindInput:
			if code != string(provision.CodePasswordRefused) { // no field of an order helps against the policy of an account
				require.Equal(t, "marketplace", row[1], code)
			}
		case provision.KindPermission:
			require.Equal(t, "operator", row[1], code)
		case provision.KindAccount:
			require.Equal(t, "Quartermaster", row[1], code)
		}
	}
}

func TestEveryStepIsInTheCatalog(t *testing.T) {
	t.Parallel()
	documented, _ := cataloged(t, "StepName")
	require.ElementsMatch(t, declared(t, "../internal/provision", "Step"), documented)
}

func TestEveryKindOfAlertIsInTheCatalog(t *testing.T) {
	t.Parallel()
	documented, _ := cataloged(t, "AlertKind")
	require.ElementsMatch(t, declared(t, "../internal/provision", "AlertKind"), documented)
}

// Events are emitted by Go and by SQL. Their types are found by their form.
func TestEveryTypeOfEventIsInTheCatalog(t *testing.T) {
	t.Parallel()
	documented, _ := cataloged(t, "EventName")
	form := regexp.MustCompile(`['"]((?:order|pool|stock|account_import|webhook)\.[a-z_]+)['"]`)
	emitted := map[string]bool{}
	for _, state := range declared(t, "../internal/provision", "OrderState") {
		emitted["order."+state] = true // by a trigger of the table orders
	}
	for _, folder := range []string{"../internal/provision", "../internal/postgres", "../migrations"} {
		files, err := fs.Glob(os.DirFS(folder), "*.[gs][oq]*")
		require.NoError(t, err)
		require.NotEmpty(t, files, folder)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(folder + "/" + file)
			require.NoError(t, err)
			for _, found := range form.FindAllStringSubmatch(string(text), -1) {
				emitted[found[1]] = true
			}
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(emitted)), documented)
}
