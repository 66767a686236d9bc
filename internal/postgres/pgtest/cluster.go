//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	superuser    = "postgres"
	versionFile  = "PG_VERSION"           // PostgreSQL's own mark of a data directory; holds the major version
	passwordFile = "quartermaster.secret" // ours, inside the data directory: the superuser's password
	scratchName  = "quartermaster-pg-"    // prefix of temporary folders
	lockName     = "lock"                 // in a temporary folder, locked for as long as its owner lives
)

// initdbOptions make clusters equal everywhere: no locale of the machine's, checksums off as tests want speed, and a
// password on loopback, because other users of the machine can connect there too.
var initdbOptions = []string{
	"--no-sync", "--no-instructions", "--encoding=UTF8", "--no-locale", "--auth=scram-sha-256", "--username=" + superuser,
}

// prepareCluster makes sure that dir holds a data directory which the account owns, and returns the superuser's password.
func prepareCluster(ctx context.Context, bin binaries, who account, dir string) (password string, err error) {
	found, err := os.ReadFile(filepath.Join(dir, versionFile))
	switch {
	case err == nil:
		if major := strings.TrimSpace(string(found)); major != strconv.Itoa(bin.major) {
			return "", fmt.Errorf("data directory %q was made by PostgreSQL %s, but %s is version %s: set PG_BINDIR to an installation of %[2]s, or choose another directory",
				dir, major, bin.dir, bin.version)
		}
	case errors.Is(err, fs.ErrNotExist):
		if err := createCluster(ctx, bin, who, dir); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("data directory %q: %w", dir, err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, passwordFile))
	if err != nil {
		return "", fmt.Errorf("data directory %q has no password of ours, so something else made it: choose another directory: %w", dir, err)
	}
	return string(secret), nil
}

// createCluster fills dir from the cached cluster of this version, which it makes first if need be.
func createCluster(ctx context.Context, bin binaries, who account, dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("data directory %q is neither empty nor a PostgreSQL data directory: choose another one, or empty it", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { // #nosec G302 -- PostgreSQL refuses a directory that others may enter
		return fmt.Errorf("create data directory: %w", err)
	}
	if err := who.own(dir); err != nil {
		return fmt.Errorf("hand data directory %q to user %s: %w", dir, who.name, err)
	}
	cache, err := cacheDir()
	if err != nil { // a home that cannot be written, as in some containers and build services: do without
		return initdb(ctx, bin, who, dir)
	}
	key := sha256.Sum256([]byte(bin.dir + "\n" + bin.version + "\n" + strings.Join(initdbOptions, "\n")))
	template := filepath.Join(cache, fmt.Sprintf("initdb-%d-%s", bin.major, hex.EncodeToString(key[:6])))
	if _, err := os.Stat(filepath.Join(template, versionFile)); errors.Is(err, fs.ErrNotExist) {
		if err := initdb(ctx, bin, who, dir); err != nil {
			return err
		}
		return publish(dir, cache, template)
	}
	if err := copyTree(template, dir, who); err != nil {
		return fmt.Errorf("copy %q to data directory %q: %w", template, dir, err)
	}
	return nil
}

// cacheDir returns this user's folder of prepared clusters. It is used only when nobody else can write to it: whoever
// writes there chooses what the server runs.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	dir := filepath.Join(base, "quartermaster")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create the cache folder: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("inspect the cache folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm()&0o022 != 0 || int(stat.Uid) != os.Getuid() {
		return "", fmt.Errorf("cache folder %q belongs to somebody else or can be written by others: remove it, or run `chmod go-w` on it", dir)
	}
	return dir, nil
}

// publish copies the fresh, never started cluster in dir to the cache. It appears under its name in one step, so that
// another process sees all of it or nothing; whoever comes second leaves the first one's in place.
func publish(dir, cache, template string) error {
	staging, err := os.MkdirTemp(cache, "initdb-new-")
	if err != nil {
		return fmt.Errorf("cache the new cluster: %w", err)
	}
	defer func() { _ = os.RemoveAll(staging) }()
	if err := copyTree(dir, staging, account{}); err != nil {
		return fmt.Errorf("cache the new cluster: %w", err)
	}
	if err := os.Rename(staging, template); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cache the new cluster: %w", err)
	}
	return nil
}

// initdb runs PostgreSQL's initdb on dir, with a new random password that is kept inside it.
func initdb(ctx context.Context, bin binaries, who account, dir string) error {
	// initdb wants an empty directory, so the password waits outside until it is done.
	secret, err := os.CreateTemp("", scratchName+"secret-*")
	if err != nil {
		return fmt.Errorf("create the password file: %w", err)
	}
	defer func() { _ = os.Remove(secret.Name()) }()
	password := rand.Text()
	_, err = secret.WriteString(password)
	if err = errors.Join(err, secret.Close(), who.own(secret.Name())); err != nil {
		return fmt.Errorf("write the password file: %w", err)
	}

	cmd := exec.CommandContext(ctx, bin.initdb(), append([]string{"--pgdata=" + dir, "--pwfile=" + secret.Name()}, initdbOptions...)...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = dir, serverEnv(), who.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		if explained := who.unreachable(dir); explained != nil {
			return explained
		}
		return fmt.Errorf("run %s: %w: %s", bin.initdb(), err, strings.TrimSpace(string(out)))
	}
	kept := filepath.Join(dir, passwordFile)
	if err := os.WriteFile(kept, []byte(password), 0o600); err != nil {
		return fmt.Errorf("keep the password: %w", err)
	}
	if err := who.own(kept); err != nil {
		return fmt.Errorf("keep the password: %w", err)
	}
	return nil
}

// serverEnv is the environment without PostgreSQL's own variables, which would redirect the server, and with messages in
// English, which [Start] reads.
func serverEnv() []string {
	env := []string{"LC_ALL=C"}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "PG") && !strings.HasPrefix(entry, "LC_") {
			env = append(env, entry)
		}
	}
	return env
}

// copyTree copies the folder from into the existing, empty folder to and hands every file to the account. The version
// file comes last: without it a half-made copy is not taken for a cluster.
func copyTree(from, to string, who account) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil || relative == "." || relative == versionFile {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			if err := os.Mkdir(target, 0o700); err != nil {
				return err
			}
			return who.own(target)
		}
		return copyFile(path, target, who)
	})
	if err != nil {
		return err
	}
	return copyFile(filepath.Join(from, versionFile), filepath.Join(to, versionFile), who)
}

func copyFile(from, to string, who account) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // only read
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if _, err := io.Copy(target, source); err != nil {
		return err
	}
	return who.own(to)
}

// newScratch makes a temporary folder for a server and its data directory, locked for as long as this process lives, and
// removes those whose owners died without doing so.
func newScratch() (dir string, lock *os.File, err error) {
	sweep(os.TempDir(), time.Minute)
	dir, err = os.MkdirTemp("", scratchName)
	if err != nil {
		return "", nil, fmt.Errorf("create a temporary folder: %w", err)
	}
	// The server's user has to pass through to the data directory, but has no business here.
	if err := os.Chmod(dir, 0o711); err != nil { // #nosec G302 -- see above
		return "", nil, fmt.Errorf("create a temporary folder: %w", err)
	}
	lock, err = os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("lock the temporary folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return "", nil, fmt.Errorf("lock the temporary folder %q: %w", dir, errors.Join(err, lock.Close()))
	}
	return dir, lock, nil
}

// sweep removes the temporary folders in parent whose owner is gone: a process that is killed cannot clean up after
// itself. Those younger than grace may not have been locked yet. It is housekeeping, so what cannot be removed stays.
func sweep(parent string, grace time.Duration) {
	locks, err := filepath.Glob(filepath.Join(parent, scratchName+"*", lockName))
	if err != nil {
		return
	}
	for _, path := range locks {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < grace {
			continue
		}
		lock, err := os.Open(path)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
		_ = lock.Close()
	}
}
