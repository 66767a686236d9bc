package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// goFile is a Go file of any module of the repository.
type goFile struct {
	path  string // from the root, with slashes
	lines int
	*ast.File
}

// goFiles reads all Go files, without those in testdata.
func goFiles(t *testing.T) (files []goFile) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == ".git" || entry.Name() == ".build") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		files = append(files, goFile{filepath.ToSlash(relative), strings.Count(string(text), "\n"), parsed})
		return err
	}))
	require.Greater(t, len(files), 200, "the files were not found")
	return files
}

func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if !ast.IsGenerated(f.File) && !strings.HasSuffix(f.path, "_test.go") && f.lines >= 450 {
			t.Errorf("%s has %d lines: cut it by subject, so that it has fewer than 450", f.path, f.lines)
		}
	}
}

// A package explains its purpose and its neighbors in doc.go. A program explains itself in main.go, a package of tests alone nowhere.
func TestEveryPackageHasADocFile(t *testing.T) {
	t.Parallel()
	documented, packages := map[string]bool{}, map[string]bool{}
	for _, f := range goFiles(t) {
		folder, name := path.Split(f.path)
		if !strings.HasSuffix(name, "_test.go") {
			packages[folder] = true
		}
		if f.Doc != nil && (name == "doc.go" || name == "main.go" && f.Name.Name == "main") {
			documented[folder] = true
		}
	}
	for folder := range packages {
		if !documented[folder] {
			t.Errorf("%sdoc.go is missing: say there what the package is for", folder)
		}
	}
}

// helperFiles are the test files that need no test: what the tests of a package share, and what they need of its internals.
var helperFiles = regexp.MustCompile(`^(setup(_\w+)?|export)_test\.go$`)

func TestTestFilesHaveTests(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.path, "_test.go") && !helperFiles.MatchString(path.Base(f.path)) && !hasTest(f.File) {
			t.Errorf("%s has no test: move its helpers to the tests that use them, to setup_test.go or to setup_<subject>_test.go", f.path)
		}
	}
}

func hasTest(file *ast.File) bool {
	for _, decl := range file.Decls {
		function, ok := decl.(*ast.FuncDecl)
		if !ok || function.Recv != nil {
			continue
		}
		for _, prefix := range []string{"Test", "Example", "Fuzz", "Benchmark"} {
			if strings.HasPrefix(function.Name.Name, prefix) {
				return true
			}
		}
	}
	return false
}

func TestTopLevelIsComplete(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"activities", "api/server.go", "api/openapi/openapi.yaml", "cmd/quartermaster/main.go", "deploy/iam", "dev", "docs/architecture.md",
		"internal/reconcile", "migrations", "worker", "workflows/contract.go", "workflows/control", "workflows/schedules.go",
		"activities/step.go", "docker-compose.yml", "go.mod", "LICENSE", "SECURITY.md",
	} {
		_, err := os.Stat(filepath.Join(root, name))
		require.NoError(t, err)
	}
}
