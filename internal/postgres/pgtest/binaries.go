//go:build unix

package pgtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MinimumMajor is the oldest PostgreSQL major version that Quartermaster supports.
const MinimumMajor = 15

// ErrNotInstalled is returned by [Start] when no PostgreSQL server program of a supported version is found.
var ErrNotInstalled = errors.New("PostgreSQL 15 or newer is not installed: run `apt-get install postgresql`, " +
	"`dnf install postgresql-server` or `brew install postgresql@17`, or set PG_BINDIR to the folder that holds initdb and postgres")

// binaries is one installation of PostgreSQL.
type binaries struct {
	dir     string // holds initdb and postgres, symbolic links resolved
	version string // what `postgres --version` prints after the program's name, such as "15.18 (Debian 15.18-0+deb12u1)"
	major   int
}

func (b binaries) initdb() string   { return filepath.Join(b.dir, "initdb") }
func (b binaries) postgres() string { return filepath.Join(b.dir, "postgres") }

// wellKnownDirs are the places where packages put server programs without adding them to PATH: Debian and Ubuntu,
// Fedora and the PGDG RPMs, Homebrew on Apple silicon, on Intel and on Linux, and Postgres.app.
var wellKnownDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// findBinaries returns the installation to use: $PG_BINDIR when it is set, else the first one on PATH, else the newest
// in the well-known folders. An explicit PG_BINDIR is never silently replaced by another installation.
func findBinaries(ctx context.Context) (binaries, error) {
	if dir := os.Getenv("PG_BINDIR"); dir != "" {
		return chosenBinaries(ctx, dir)
	}
	return searchBinaries(ctx, filepath.SplitList(os.Getenv("PATH")), wellKnownDirs)
}

// chosenBinaries is the installation in the folder that PG_BINDIR names.
func chosenBinaries(ctx context.Context, dir string) (binaries, error) {
	found, err := inspect(ctx, dir)
	if err != nil {
		return binaries{}, fmt.Errorf("PG_BINDIR is %q: %w: set it to the folder that holds initdb and postgres, or unset it", dir, err)
	}
	if found.major < MinimumMajor {
		return binaries{}, fmt.Errorf("PG_BINDIR is %q, which is PostgreSQL %s: %d or newer is needed", dir, found.version, MinimumMajor)
	}
	return found, nil
}

// searchBinaries looks through the folders in order, then through the patterns' matches, newest version first.
func searchBinaries(ctx context.Context, dirs, patterns []string) (binaries, error) {
	var tooOld []string
	for _, dir := range dirs {
		found, err := inspect(ctx, dir)
		switch {
		case err != nil: // most folders of PATH hold no server; a broken one must not hide a good one further on
		case found.major >= MinimumMajor:
			return found, nil
		default:
			tooOld = append(tooOld, found.dir+" ("+found.version+")")
		}
	}
	var installed []binaries
	for _, pattern := range patterns {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return binaries{}, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		for _, dir := range matches {
			found, err := inspect(ctx, dir)
			switch {
			case err != nil:
			case found.major >= MinimumMajor:
				installed = append(installed, found)
			default:
				tooOld = append(tooOld, found.dir+" ("+found.version+")")
			}
		}
	}
	if len(installed) > 0 {
		return slices.MaxFunc(installed, func(a, b binaries) int { return cmp.Compare(a.major, b.major) }), nil
	}
	if len(tooOld) > 0 {
		return binaries{}, fmt.Errorf("only older versions are here, %s: %w", strings.Join(tooOld, ", "), ErrNotInstalled)
	}
	return binaries{}, ErrNotInstalled
}

var versionPattern = regexp.MustCompile(`^postgres \(PostgreSQL\) ((\d+).*)$`)

// inspect reads the version of the installation in dir. Links are resolved because distributions link `postgres` alone
// into PATH, while initdb lies beside the real file.
func inspect(ctx context.Context, dir string) (binaries, error) {
	if !filepath.IsAbs(dir) { // a relative PATH entry would change its meaning with the working directory
		return binaries{}, fmt.Errorf("folder %q is not an absolute path", dir)
	}
	program, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return binaries{}, fmt.Errorf("find the program postgres: %w", err)
	}
	found := binaries{dir: filepath.Dir(program)}
	if _, err := exec.LookPath(found.initdb()); err != nil {
		return binaries{}, fmt.Errorf("find the program initdb: %w", err)
	}
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("run %s --version: %w", program, err)
	}
	match := versionPattern.FindStringSubmatch(strings.TrimSpace(string(out)))
	if match == nil {
		return binaries{}, fmt.Errorf("%s --version printed %q, which is not a PostgreSQL version", program, out)
	}
	found.version = match[1]
	if found.major, err = strconv.Atoi(match[2]); err != nil {
		return binaries{}, fmt.Errorf("%s --version printed %q: %w", program, out, err)
	}
	return found, nil
}
