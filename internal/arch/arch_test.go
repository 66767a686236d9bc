package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A rule forbids imports. Folders and imports are path prefixes, or whole paths when they end in $. Imports of this repository
// begin with `quartermaster/`.
type rule struct {
	folder string
	except []string // folders and files below the folder that the rule does not bind
	tests  bool     // the rule binds _test.go files, too
	never  []string
	why    string
}

const (
	awsSDK         = "github.com/aws/"
	sqlx           = "github.com/jmoiron/sqlx"
	pq             = "github.com/lib/pq"
	echo           = "github.com/labstack/echo"
	temporal       = "go.temporal.io/"
	temporalClient = "go.temporal.io/sdk/client"
	prom           = "github.com/prometheus/"
	internal       = "quartermaster/internal/"
)

// testTools are the folders that exist for tests.
var testTools = []string{"api/apitest", "console/issuertest", "internal/awssim", "internal/postgres/pgtest",
	"workflows/control/controltest"}

var rules = []rule{
	// The whole repository.
	{folder: "", except: testTools, never: []string{
		internal + "awssim", internal + "postgres/pgtest", "quartermaster/workflows/control/controltest", "quartermaster/api/apitest",
		"quartermaster/dev",
		"quartermaster/console/issuertest", "github.com/zitadel/",
		"github.com/stretchr/testify", "pgregory.net/rapid",
	}, why: "only tests and dev/ use simulators and test databases"},
	{folder: "", except: []string{"api"}, tests: true, never: []string{echo}, why: "Echo stays inside api"},
	{
		folder: "", except: []string{"workflows/control", "workflows/schedules.go", "worker", "cmd/quartermaster"},
		never: []string{temporalClient}, why: "workflows/control is the client side of Temporal",
	},

	// The API.
	{folder: "api", except: []string{"api/apitest"}, never: []string{
		awsSDK, sqlx, pq, "database/sql$", temporal, "quartermaster/activities", internal + "postgres", internal + "awscloud",
	}, why: "the API starts workflows and reads; it does not do the work"},
	{
		folder: "api/openapi", except: []string{"api/openapi/server"},
		never: []string{echo, temporal}, why: "clients use the types without the server",
	},
	{
		folder: "api/client", never: []string{"quartermaster/api$", "quartermaster/api/openapi/server", "quartermaster/api/resource"},
		why: "a client knows what the API answers, not how",
	},

	{
		folder: "", except: []string{"console"}, never: []string{"github.com/coreos/go-oidc", "golang.org/x/oauth2"},
		why: "people sign in to the console alone",
	},
	{folder: "console", never: []string{
		"quartermaster/api$", "quartermaster/api/openapi/server", "quartermaster/api/resource", echo, awsSDK, sqlx, pq, "database/sql$", temporal,
		"quartermaster/workflows", "quartermaster/activities", internal + "postgres", internal + "awscloud",
	}, why: "the console does nothing that the API cannot: it calls the API's operations"},

	// Workflows and activities.
	{folder: "workflows", except: []string{"workflows/control"}, never: []string{
		awsSDK, sqlx, pq, "net/http", "database/sql",
		internal + "postgres", internal + "awscloud", internal + "secrets", "quartermaster/api",
	}, why: "a workflow decides; activities do the work"},
	{folder: "workflows", never: []string{prom}, why: "a replay would count twice"},
	{folder: "workflows/control", never: []string{
		awsSDK, sqlx, pq, "database/sql", internal + "postgres", internal + "awscloud", "quartermaster/api",
	}, why: "the client side of Temporal knows workflows, not what they work on"},
	{folder: "activities", never: []string{
		sqlx, pq, "database/sql", internal + "postgres", "quartermaster/api", "quartermaster/workflows",
	}, why: "activities know a Store, not a database"},
	{folder: "worker", never: []string{awsSDK, sqlx, pq, internal, "quartermaster/api"}, why: "the worker only registers and runs"},

	// The command.
	{
		folder: "cmd/quartermaster", except: []string{"cmd/quartermaster/api.go"},
		never: []string{"quartermaster/api$"}, why: "only the api command serves the API",
	},

	// What everything else is built on.
	{folder: "internal", never: []string{
		"quartermaster/api", "quartermaster/worker", "quartermaster/workflows", "quartermaster/activities", "quartermaster/cmd",
	}, why: "imports point down"},
	{
		folder: "internal/provision", tests: true, never: []string{"quartermaster/", awsSDK, sqlx, pq, temporal},
		why: "the domain is built on the standard library alone",
	},
	{folder: "internal/stockcsv", never: []string{
		internal + "postgres", internal + "awscloud", internal + "secrets", internal + "reconcile",
		awsSDK, sqlx, pq, temporal, "net/http", "database/sql",
	}, why: "the file reader knows the domain and the standard library"},
	{
		folder: "internal/reconcile", never: []string{temporalClient, sqlx, pq, internal + "postgres"},
		why: "the reconciler asks a Store and workflows/control",
	},
	{
		folder: "internal/health", never: []string{temporal, awsSDK, sqlx, pq, "database/sql", internal + "postgres"},
		why: "the health asks for what others know",
	},
	{
		folder: "internal/verbs", never: []string{temporal, awsSDK, sqlx, pq, "database/sql", internal + "postgres"},
		why: "the verbs ask rows and workflows, whatever keeps them",
	},
	{folder: "internal/postgres", never: []string{awsSDK, temporal, prom}, why: "the database knows neither AWS nor Temporal nor metrics"},
	{
		folder: "internal/awscloud", never: []string{sqlx, pq, temporal, internal + "postgres"},
		why: "the cloud knows neither the database nor Temporal",
	},
	{folder: "internal/metrics", never: []string{awsSDK, sqlx, pq, internal + "postgres"}, why: "the metrics know a Store, not a database"},
	{folder: "internal/webhooks", never: []string{
		sqlx, pq, temporal, awsSDK, internal + "postgres", internal + "secrets",
	}, why: "a sender knows receivers, neither the database nor the keys"},
	{folder: "internal/awssim", never: []string{
		internal + "awscloud", internal + "provision", temporal, sqlx, pq,
	}, why: "the simulator knows AWS, not Quartermaster"},
}

type file struct {
	path    string // from the root, with slashes
	imports []string
}

// broken returns the imports that the rules forbid.
func broken(files []file) (problems []string) {
	for _, f := range files {
		for _, r := range rules {
			if !r.binds(f.path) {
				continue
			}
			for _, imported := range f.imports {
				if slices.ContainsFunc(r.never, func(never string) bool { return matches(imported, never) }) {
					problems = append(problems, f.path+" imports "+imported+": "+r.why)
				}
			}
		}
	}
	return problems
}

// binds reports whether the rule binds a file.
func (r rule) binds(file string) bool {
	return inside(file, r.folder) && !insideAny(file, r.except) && (r.tests || !strings.HasSuffix(file, "_test.go"))
}

// matches reports whether an import is the one that a rule names, or below it.
func matches(imported, never string) bool {
	if exact, found := strings.CutSuffix(never, "$"); found {
		return imported == exact
	}
	return inside(imported, strings.TrimSuffix(never, "/"))
}

func inside(folder, parent string) bool {
	return parent == "" || folder == parent || strings.HasPrefix(folder, parent+"/")
}

func insideAny(folder string, parents []string) bool {
	return slices.ContainsFunc(parents, func(parent string) bool { return inside(folder, parent) })
}

// otherModules are folders with modules of their own, which the rules do not bind.
var otherModules = []string{"dev", "tools", ".git", ".build"}

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
	files := load(t, root)
	require.Greater(t, len(files), 100, "the files were not found")
	require.Empty(t, broken(files))
}

func TestRulesCatchWhatTheyForbid(t *testing.T) {
	t.Parallel()
	for _, bad := range []file{
		{"workflows/x.go", []string{"github.com/aws/aws-sdk-go-v2/service/iam"}},
		{"workflows/x.go", []string{"net/http"}},
		{"workflows/x.go", []string{"github.com/prometheus/client_golang/prometheus"}},
		{"workflows/x.go", []string{"go.temporal.io/sdk/client"}},
		{"activities/x.go", []string{"github.com/lib/pq"}},
		{"api/x.go", []string{"quartermaster/activities"}},
		{"api/x.go", []string{"go.temporal.io/sdk/client"}},
		{"api/openapi/x.go", []string{"github.com/labstack/echo/v4"}},
		{"cmd/quartermaster/x.go", []string{"github.com/labstack/echo/v4"}},
		{"cmd/quartermaster/x.go", []string{"quartermaster/api"}},
		{"cmd/quartermaster/x.go", []string{"quartermaster/internal/awssim"}},
		{"internal/provision/x_test.go", []string{"quartermaster/internal/postgres"}},
		{"internal/postgres/x.go", []string{"quartermaster/workflows"}},
		{"internal/reconcile/x.go", []string{"go.temporal.io/sdk/client"}},
		{"internal/metrics/x.go", []string{"quartermaster/internal/postgres"}},
		{"internal/stockcsv/x.go", []string{"quartermaster/internal/postgres"}},
		{"internal/webhooks/x.go", []string{"quartermaster/internal/secrets"}},
		{"worker/x.go", []string{"quartermaster/internal/postgres/pgtest"}},
	} {
		require.NotEmpty(t, broken([]file{bad}), "%s importing %s", bad.path, bad.imports)
	}
	for _, good := range []file{
		{"workflows/x.go", []string{"quartermaster/activities", "quartermaster/internal/provision"}},
		{"workflows/control/x.go", []string{"go.temporal.io/sdk/client"}},
		{"activities/x_test.go", []string{"quartermaster/internal/awssim"}},
		{"internal/postgres/pgtest/pgtest.go", []string{"github.com/lib/pq", "testing"}},
		{"api/x.go", []string{"net/http/httptest", "github.com/labstack/echo/v4"}},
		{"api/openapi/server/x.go", []string{"github.com/labstack/echo/v4"}},
		{"cmd/quartermaster/api.go", []string{"quartermaster/api"}},
		{"cmd/quartermaster/x.go", []string{"quartermaster/api/openapi"}},
	} {
		require.Empty(t, broken([]file{good}))
	}
}
