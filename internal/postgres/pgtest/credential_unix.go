//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the operating-system user that owns the data directory and runs the server. PostgreSQL refuses to run as
// root, so root hands both to somebody else; every other user runs the server as itself.
type account struct {
	name     string
	uid, gid int
	switchTo bool // the launcher is root and must change over to uid and gid
}

// serviceAccount chooses the account for the data directory dir. A directory that already holds a cluster keeps its owner:
// that is the only user who can open its files.
func serviceAccount(dir string) (account, error) {
	if uid := os.Getuid(); uid != 0 {
		return account{name: "uid " + strconv.Itoa(uid), uid: uid, gid: os.Getgid()}, nil
	}
	if info, err := os.Stat(filepath.Join(dir, versionFile)); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
			return account{name: fmt.Sprintf("uid %d", stat.Uid), uid: int(stat.Uid), gid: int(stat.Gid), switchTo: true}, nil
		}
	}
	return firstAccount(user.Lookup, "postgres", "nobody")
}

// firstAccount returns the first of the named users that the machine knows.
func firstAccount(lookup func(string) (*user.User, error), names ...string) (account, error) {
	var unknown user.UnknownUserError
	for _, name := range names {
		found, err := lookup(name)
		if errors.As(err, &unknown) {
			continue
		}
		if err != nil {
			return account{}, fmt.Errorf("look up user %q: %w", name, err)
		}
		uid, err := strconv.Atoi(found.Uid)
		if err != nil {
			return account{}, fmt.Errorf("user %q has the id %q: %w", name, found.Uid, err)
		}
		gid, err := strconv.Atoi(found.Gid)
		if err != nil {
			return account{}, fmt.Errorf("user %q has the group id %q: %w", name, found.Gid, err)
		}
		return account{name: name, uid: uid, gid: gid, switchTo: true}, nil
	}
	return account{}, fmt.Errorf("PostgreSQL does not run as root and none of the users %q exists: create one, or run as another user", names)
}

// attributes are the process attributes that run a program as the account.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		// A group of its own: a ctrl-C in the terminal reaches the whole foreground group, and the program that
		// started the server wants to finish its work before the database goes.
		Setpgid: true,
	}
	if a.switchTo {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// own hands a file or folder to the account.
func (a account) own(path string) error {
	if !a.switchTo {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// unreachable explains a permission error: it names the first folder on the way to dir that the account may not enter, and
// returns nil when ordinary permission bits do not explain it.
func (a account) unreachable(dir string) error {
	for folder := filepath.Dir(dir); ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil {
			return nil //nolint:nilerr // this only looks for a better message than the one the caller has
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		enter := fs.FileMode(0o001)
		switch {
		case int(stat.Uid) == a.uid:
			enter = 0o100
		case int(stat.Gid) == a.gid:
			enter = 0o010
		}
		if info.Mode().Perm()&enter == 0 {
			return fmt.Errorf("data directory %q: user %s, who runs PostgreSQL for root, may not enter %q (mode %#o): choose a directory that everybody can reach, "+
				"or open that folder with `chmod o+x`", dir, a.name, folder, info.Mode().Perm())
		}
		if folder == filepath.Dir(folder) {
			return nil
		}
	}
}
