// Package arch holds the import rules of the house, as a test: imports point down, nothing points up.
package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A rule forbids imports. Folders and imports are prefixes of paths, or whole paths when they end in $; `quartermaster/`
// begins those of this repository.
type rule struct {
	folder string
	tests  bool // does the rule hold for _test.go files too?
	never  []string
	why    string
}

const (
	awsSDK   = "github.com/aws/"
	sqlx     = "github.com/jmoiron/sqlx"
	pq       = "github.com/lib/pq"
	echo     = "github.com/labstack/echo"
	temporal = "go.temporal.io/"
	prom     = "github.com/prometheus/"
)

var rules = []rule{
	{folder: "workflows", never: []string{awsSDK, sqlx, pq, echo, "net/http", "database/sql", "quartermaster/internal/postgres", "quartermaster/internal/awscloud", "quartermaster/internal/secrets", "quartermaster/api"},
		why: "a workflow decides; activities do"},
	{folder: "activities", never: []string{sqlx, pq, echo, "database/sql", "quartermaster/internal/postgres", "quartermaster/api", "quartermaster/workflows"},
		why: "activities know a Store, not a database"},
	{folder: "api", never: []string{awsSDK, sqlx, pq, "database/sql$", "quartermaster/activities", "quartermaster/internal/postgres", "quartermaster/internal/awscloud"},
		why: "the API starts workflows and reads; it does not do the work"},
	{folder: "worker", never: []string{awsSDK, sqlx, pq, echo, "quartermaster/internal/", "quartermaster/api"}, why: "the worker only registers and runs"},
	{folder: "internal", never: []string{"quartermaster/api", "quartermaster/worker", "quartermaster/workflows", "quartermaster/activities", "quartermaster/cmd", echo},
		why: "imports point down"},
	{folder: "internal/provision", tests: true, never: []string{"quartermaster/", awsSDK, sqlx, pq, echo, temporal}, why: "the words stand on the standard library alone"},
	{folder: "internal/stockcsv", never: []string{"quartermaster/internal/postgres", "quartermaster/internal/awscloud", "quartermaster/internal/secrets", "quartermaster/internal/reconcile", awsSDK, sqlx, pq, temporal, "net/http", "database/sql"},
		why: "the file reader knows the words and the standard library"},
	{folder: "internal/postgres", never: []string{awsSDK, temporal}, why: "the database knows neither AWS nor Temporal"},
	{folder: "internal/awscloud", never: []string{sqlx, pq, temporal, "quartermaster/internal/postgres"}, why: "the cloud knows neither the database nor Temporal"},
	{folder: "internal/metrics", never: []string{awsSDK, sqlx, pq, temporal, "quartermaster/internal/postgres"}, why: "the metrics know a Store, not a database"},
	{folder: "internal/postgres", never: []string{prom}, why: "the database is read for metrics, it tells none"},
	{folder: "workflows", never: []string{prom}, why: "a replay would count twice"},
	{folder: "internal/webhooks", never: []string{sqlx, pq, temporal, awsSDK, "quartermaster/internal/postgres", "quartermaster/internal/secrets"}, why: "a sender knows receivers, neither the database nor the keys"},
	{folder: "internal/awssim", never: []string{"quartermaster/internal/awscloud", "quartermaster/internal/provision", temporal, sqlx, pq}, why: "the simulator knows AWS, not us"},
	{folder: "", never: []string{"quartermaster/internal/awssim", "quartermaster/internal/postgres/pgtest", "quartermaster/workflows/control/controltest", "quartermaster/dev", "github.com/stretchr/testify", "pgregory.net/rapid"},
		why: "only tests and dev/ run simulators and test databases"},
}

// testTools are the folders that exist for tests: the last rule does not hold for them.
var testTools = []string{"internal/awssim", "internal/postgres/pgtest", "workflows/control/controltest"}

type file struct {
	path    string // from the root, with slashes
	imports []string
}

// broken lists the imports that the rules forbid.
func broken(files []file) (problems []string) {
	for _, f := range files {
		folder, isTest := filepath.ToSlash(filepath.Dir(f.path)), strings.HasSuffix(f.path, "_test.go")
		for _, r := range rules {
			if !inside(folder, r.folder) || isTest && !r.tests || r.folder == "" && insideAny(folder, testTools) {
				continue
			}
			for _, imported := range f.imports {
				for _, never := range r.never {
					if exact, found := strings.CutSuffix(never, "$"); found && imported == exact || inside(imported, strings.TrimSuffix(never, "/")) {
						problems = append(problems, f.path+" imports "+imported+": "+r.why)
					}
				}
			}
		}
	}
	return problems
}

func inside(folder, parent string) bool {
	return parent == "" || folder == parent || strings.HasPrefix(folder, parent+"/")
}

func insideAny(folder string, parents []string) bool {
	for _, parent := range parents {
		if inside(folder, parent) {
			return true
		}
	}
	return false
}

// modules of their own, which the rules do not bind.
var otherModules = []string{"dev", "tools", ".git"}

func load(t *testing.T, root string) (files []file) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if insideAny(filepath.ToSlash(relative), otherModules) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		f := file{path: filepath.ToSlash(relative)}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imported)
		}
		files = append(files, f)
		return nil
	}))
	return files
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	files := load(t, "../..")
	require.Greater(t, len(files), 30, "the tree was not found")
	require.Empty(t, broken(files))
}

func TestTheRulesCatchWhatTheyForbid(t *testing.T) {
	t.Parallel()
	for _, bad := range []file{
		{"workflows/x.go", []string{"github.com/aws/aws-sdk-go-v2/service/iam"}},
		{"workflows/x.go", []string{"net/http"}},
		{"activities/x.go", []string{"github.com/lib/pq"}},
		{"api/x.go", []string{"quartermaster/activities"}},
		{"internal/provision/x_test.go", []string{"quartermaster/internal/postgres"}},
		{"internal/postgres/x.go", []string{"quartermaster/workflows"}},
		{"internal/metrics/x.go", []string{"quartermaster/internal/postgres"}},
		{"workflows/x.go", []string{"github.com/prometheus/client_golang/prometheus"}},
		{"internal/stockcsv/x.go", []string{"quartermaster/internal/postgres"}},
		{"cmd/quartermaster/x.go", []string{"quartermaster/internal/awssim"}},
		{"worker/x.go", []string{"quartermaster/internal/postgres/pgtest"}},
		{"internal/webhooks/x.go", []string{"quartermaster/internal/secrets"}},
	} {
		require.NotEmpty(t, broken([]file{bad}), "%s importing %s", bad.path, bad.imports)
	}
	for _, good := range []file{
		{"workflows/x.go", []string{"quartermaster/activities", "quartermaster/internal/provision"}},
		{"activities/x_test.go", []string{"quartermaster/internal/awssim"}},
		{"internal/postgres/pgtest/pgtest.go", []string{"github.com/lib/pq", "testing"}},
		{"api/x.go", []string{"net/http/httptest"}},
	} {
		require.Empty(t, broken([]file{good}))
	}
}

func TestTheFixedTopLevelStands(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"workflows", "activities", "worker", "api", "migrations", "go.mod", "docker-compose.yml"} {
		_, err := os.Stat("../../" + name)
		require.NoError(t, err)
	}
}
