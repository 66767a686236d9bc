//go:build unix

package pgtest

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// install writes an installation of PostgreSQL that knows nothing but its version.
func install(t *testing.T, dir, version string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	for _, program := range []string{"postgres", "initdb"} {
		script := "#!/bin/sh\necho '" + program + " (PostgreSQL) " + version + "'\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, program), []byte(script), 0o700))
	}
	return dir
}

func TestSearchPrefersPathThenTheNewest(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	lib := func(version string) string { return filepath.Join(root, "lib", version, "bin") }
	old := install(t, lib("9"), "9.6.24")
	install(t, lib("15"), "15.1")
	newest := install(t, lib("17"), "17.2 (Debian 17.2-1)")
	links := filepath.Join(root, "links") // a distribution's PATH: the server's program alone, linked
	require.NoError(t, os.Mkdir(links, 0o700))
	require.NoError(t, os.Symlink(filepath.Join(lib("15"), "postgres"), filepath.Join(links, "postgres")))
	pattern := lib("*")

	found, err := searchBinaries(t.Context(), []string{"relative", filepath.Join(root, "nowhere"), old, links}, []string{pattern})
	require.NoError(t, err)
	require.Equal(t, binaries{dir: lib("15"), version: "15.1", major: 15}, found)

	found, err = searchBinaries(t.Context(), nil, []string{pattern})
	require.NoError(t, err)
	require.Equal(t, binaries{dir: newest, version: "17.2 (Debian 17.2-1)", major: 17}, found)
}

func TestSearchSaysHowToInstall(t *testing.T) {
	t.Parallel()
	_, err := searchBinaries(t.Context(), []string{t.TempDir()}, nil)
	require.Equal(t, ErrNotInstalled, err)
	require.EqualError(t, err, "PostgreSQL 15 or newer is not installed: run `apt-get install postgresql`, `dnf install postgresql-server` "+
		"or `brew install postgresql@17`, or set PG_BINDIR to the folder that holds initdb and postgres")

	old := install(t, t.TempDir(), "14.3")
	_, err = searchBinaries(t.Context(), []string{old}, nil)
	require.ErrorIs(t, err, ErrNotInstalled)
	require.ErrorContains(t, err, old+" (14.3)")
}

func TestChosenBinariesAreNotReplacedByOthers(t *testing.T) {
	t.Parallel()
	good := install(t, t.TempDir(), "16.0")
	found, err := chosenBinaries(t.Context(), good)
	require.NoError(t, err)
	require.Equal(t, 16, found.major)

	for name, test := range map[string]struct{ dir, want string }{
		"empty": {t.TempDir(), "find the program postgres"},
		"old":   {install(t, t.TempDir(), "14.3"), "which is PostgreSQL 14.3: 15 or newer is needed"},
		"other": {install(t, t.TempDir(), "unknown"), "which is not a PostgreSQL version"},
	} {
		_, err := chosenBinaries(t.Context(), test.dir)
		require.ErrorContains(t, err, test.want, name)
		require.ErrorContains(t, err, test.dir, name)
	}
}

func TestFirstAccountFallsBack(t *testing.T) {
	t.Parallel()
	lookup := func(known ...string) func(string) (*user.User, error) {
		return func(name string) (*user.User, error) {
			for i, k := range known {
				if k == name {
					return &user.User{Uid: strconv.Itoa(100 + i), Gid: strconv.Itoa(200 + i)}, nil
				}
			}
			return nil, user.UnknownUserError(name)
		}
	}
	got, err := firstAccount(lookup("nobody", "postgres"), "postgres", "nobody")
	require.NoError(t, err)
	require.Equal(t, account{name: "postgres", uid: 101, gid: 201, switchTo: true}, got)

	got, err = firstAccount(lookup("nobody"), "postgres", "nobody")
	require.NoError(t, err)
	require.Equal(t, account{name: "nobody", uid: 100, gid: 200, switchTo: true}, got)

	_, err = firstAccount(lookup(), "postgres", "nobody")
	require.ErrorContains(t, err, `none of the users ["postgres" "nobody"] exists: create one, or run as another user`)

	broken := errors.New("directory service is down")
	_, err = firstAccount(func(string) (*user.User, error) { return nil, broken }, "postgres")
	require.ErrorIs(t, err, broken)
}

func TestUnreachableNamesTheClosedFolder(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(t.TempDir(), "closed")
	require.NoError(t, os.MkdirAll(filepath.Join(closed, "inner"), 0o755))
	require.NoError(t, os.Chmod(closed, 0o700))
	stranger := account{name: "stranger", uid: 54321, gid: 54321}
	require.ErrorContains(t, stranger.unreachable(filepath.Join(closed, "inner", "data")), strconv.Quote(closed)+" (mode 0700)")
	require.NoError(t, stranger.unreachable("/data"), "everybody may enter /")
}

func TestSweepRemovesOnlyWhatIsAbandoned(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	scratch := func(name string, age time.Duration) (dir, lock string) {
		dir = filepath.Join(parent, scratchName+name)
		lock = filepath.Join(dir, lockName)
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.WriteFile(lock, nil, 0o600))
		then := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(lock, then, then))
		return dir, lock
	}
	abandoned, _ := scratch("abandoned", time.Hour)
	young, _ := scratch("young", 0)
	used, usedLock := scratch("used", time.Hour)
	foreign := filepath.Join(parent, scratchName+"foreign") // no lock: not made by us
	require.NoError(t, os.Mkdir(foreign, 0o700))
	lock, err := os.Open(usedLock)
	require.NoError(t, err)
	defer func() { require.NoError(t, lock.Close()) }()
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))

	sweep(parent, time.Minute)

	require.NoDirExists(t, abandoned)
	require.DirExists(t, young)
	require.DirExists(t, used)
	require.DirExists(t, foreign)
}

func TestProcessTables(t *testing.T) {
	t.Parallel()
	want := []process{{pid: 12, parent: 1}, {pid: 13, parent: 12, zombie: true}}

	root := t.TempDir()
	for pid, status := range map[string]string{"12": "12 (a) b (c)) S 1 12 12", "13": "13 (gone) Z 12 12 12"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, pid), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, pid, "stat"), []byte(status), 0o600))
	}
	got, err := readProc(root)
	require.NoError(t, err)
	require.Equal(t, want, got)

	got, err = parsePS([]byte("   12     1 Ss\n   13    12 Z+\n"))
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = parsePS([]byte("ps: nonsense\n"))
	require.ErrorContains(t, err, "ps: nonsense")
}
