package temporal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// ProgramVariable is the environment variable that names the program to use, before any other is looked for.
const ProgramVariable = "TEMPORAL_CLI"

// sourceModule is the module of the server that is compiled when there is no other.
const sourceModule = "quartermaster/dev/temporal-server"

// Program finds the program that serves Temporal: the one that $TEMPORAL_CLI names, else a `temporal` CLI on the PATH,
// else the server of dev/temporal-server. That one is compiled once, which takes minutes, and kept in the user's cache
// directory for every checkout that has the same sources. Program writes to progress what it does.
func Program(ctx context.Context, progress io.Writer) (path string, err error) {
	return find(os.Getenv, exec.LookPath, func() (string, error) { return OwnProgram(ctx, progress) })
}

// OwnProgram returns the server of dev/temporal-server, as Program does when there is no other.
func OwnProgram(ctx context.Context, progress io.Writer) (path string, err error) {
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	return compiled(ctx, source, progress)
}

// find chooses one of the three programs.
func find(getenv func(string) string, lookPath func(string) (string, error), compile func() (string, error)) (string, error) {
	if named := getenv(ProgramVariable); named != "" {
		path, err := lookPath(named)
		if err != nil {
			return "", fmt.Errorf("%s %q cannot be run: %w: name a Temporal CLI, or unset it to use the one that comes with this project",
				ProgramVariable, named, err)
		}
		return path, nil
	}
	if path, err := lookPath("temporal"); err == nil {
		return path, nil
	}
	return compile()
}

// compiled returns the kept program of the server in source.
func compiled(ctx context.Context, source string, progress io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place to keep the Temporal server: %w: set HOME or XDG_CACHE_HOME", err)
	}
	k := keeper{source: source, dir: filepath.Join(cache, "quartermaster"), progress: progress}
	return k.program(ctx)
}

// sourceDir finds dev/temporal-server in the checkout around the working directory or, failing that, around the file
// that this function was compiled from.
func sourceDir() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) { // not absolute with -trimpath
		starts = append(starts, filepath.Dir(file))
	}
	for _, start := range starts {
		if dir, ok := sourceAround(start); ok {
			return dir, nil
		}
	}
	return "", fmt.Errorf("the source of module %s is not found around %s: run this inside a checkout, or set %s to a Temporal CLI",
		sourceModule, strings.Join(starts, " or "), ProgramVariable)
}

// sourceAround looks for the module in dir and in the directories above it.
func sourceAround(dir string) (string, bool) {
	for {
		for _, below := range []string{"dev/temporal-server", "temporal-server"} {
			candidate := filepath.Join(dir, filepath.FromSlash(below))
			mod, err := os.ReadFile(filepath.Join(candidate, "go.mod"))
			if err == nil && bytes.HasPrefix(mod, []byte("module "+sourceModule+"\n")) {
				return candidate, true
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

const (
	// keptPrefix starts the name of every program that is kept; a hash of its sources follows.
	keptPrefix = "temporal-server-"
	// compilingPrefix starts the name of a program that is being written.
	compilingPrefix = ".compiling-"
	// unusedFor is how long an unused program is kept; each takes 150 MB.
	unusedFor = 30 * 24 * time.Hour
	// lockPoll is how often a process that waits for another one's build looks again.
	lockPoll = 200 * time.Millisecond
)

// keeper compiles the main package in source, once, and keeps the program in dir.
type keeper struct {
	source, dir string
	progress    io.Writer
}

// program returns the path of the program made from the present sources, and compiles it if it is not there.
func (k keeper) program(ctx context.Context) (string, error) {
	hash, err := k.hash()
	if err != nil {
		return "", fmt.Errorf("cannot read the source of the Temporal server: %w", err)
	}
	path := filepath.Join(k.dir, keptPrefix+hash)
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if used(path) {
		return path, nil
	}
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return "", fmt.Errorf("no place to keep the Temporal server: %w", err)
	}
	unlock, err := k.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if used(path) { // compiled by the process that had the lock
		return path, nil
	}
	if err := k.build(ctx, path); err != nil {
		return "", err
	}
	k.prune(path)
	return path, nil
}

// hash names the sources: the Go files without the tests, both module files, and the version and target of Go.
func (k keeper) hash() (string, error) {
	files, err := filepath.Glob(filepath.Join(k.source, "*.go"))
	if err != nil {
		return "", err
	}
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	files = append(files, filepath.Join(k.source, "go.mod"), filepath.Join(k.source, "go.sum"))
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil && (!errors.Is(err, os.ErrNotExist) || filepath.Base(name) != "go.sum") {
			return "", err
		}
		fmt.Fprintln(sum, filepath.Base(name), len(content))
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// used reports whether a program exists and, if so, marks it as used now, which keeps prune from deleting it.
func used(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now)
	return true
}

// lock waits until no other process compiles: two builds at the same time would take twice as long and all of the memory.
func (k keeper) lock(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(k.dir, "build.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the cache of programs: %w", err)
	}
	release := func() { _ = file.Close() }
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for told := false; ; told = true {
		locked, err := tryLock(file)
		if err != nil {
			release()
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		if locked {
			return release, nil
		}
		if !told {
			fmt.Fprintln(k.progress, "Another process is compiling the Temporal server; waiting for it …")
		}
		select {
		case <-ctx.Done():
			release()
			return nil, fmt.Errorf("gave up waiting for another process to compile the Temporal server: %w", context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// prune removes programs of earlier sources and aborted builds that have not been used for a long time. A failure is not an error:
// it only costs disk space.
func (k keeper) prune(keep string) {
	for _, prefix := range []string{keptPrefix, compilingPrefix} {
		paths, _ := filepath.Glob(filepath.Join(k.dir, prefix+"*"))
		for _, path := range paths {
			info, err := os.Stat(path)
			if err == nil && path != keep && time.Since(info.ModTime()) > unusedFor {
				_ = os.Remove(path)
			}
		}
	}
}
