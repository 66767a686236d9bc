package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// minimumMajor is the oldest PostgreSQL major version that Quartermaster supports.
const minimumMajor = 15

// errNotInstalled says how to install PostgreSQL; tools/ensure-postgres.sh does so.
var errNotInstalled = errors.New("PostgreSQL 15 or newer is not installed: run `apt-get install postgresql`, " +
	"`dnf install postgresql-server` or `brew install postgresql@17`, or set PG_BINDIR to the folder that holds initdb and postgres")

// wellKnownDirs are the folders where packages put server programs without adding them to PATH: Debian and Ubuntu,
// Fedora and the PGDG RPMs, Homebrew on Apple silicon, on Intel and on Linux, and Postgres.app.
var wellKnownDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// findPrograms returns the folder that holds initdb and postgres: $PG_BINDIR when it is set, else the first folder of PATH
// with a supported version, else the newest in the well-known folders.
func findPrograms(ctx context.Context) (string, error) {
	if dir := os.Getenv("PG_BINDIR"); dir != "" {
		found, major := inspect(ctx, dir)
		if major < minimumMajor {
			return "", fmt.Errorf("PG_BINDIR is %q, which holds no initdb and postgres of version %d or newer: correct or unset it",
				dir, minimumMajor)
		}
		return found, nil
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if found, major := inspect(ctx, dir); major >= minimumMajor {
			return found, nil
		}
	}
	newest, newestMajor := "", minimumMajor-1
	for _, pattern := range wellKnownDirs {
		dirs, _ := filepath.Glob(pattern) // fails for malformed patterns only
		for _, dir := range dirs {
			if found, major := inspect(ctx, dir); major > newestMajor {
				newest, newestMajor = found, major
			}
		}
	}
	if newest == "" {
		return "", errNotInstalled
	}
	return newest, nil
}

var versionPattern = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+)`)

// inspect returns the folder and the major version of the server programs in dir, or 0 when it does not hold both. It follows
// links, because distributions link postgres alone into PATH.
func inspect(ctx context.Context, dir string) (found string, major int) {
	postgres, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil || !filepath.IsAbs(postgres) {
		return "", 0
	}
	found = filepath.Dir(postgres)
	if _, err := exec.LookPath(filepath.Join(found, "initdb")); err != nil {
		return "", 0
	}
	out, _ := exec.CommandContext(ctx, postgres, "--version").Output() // of a program that fails, no version is read
	if match := versionPattern.FindSubmatch(out); match != nil {
		major, _ = strconv.Atoi(string(match[1])) // digits only
	}
	return found, major
}
