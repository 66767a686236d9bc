//go:build unix

package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// helperEnv makes this test program start a server, print its process id and its folder, and wait to be killed.
const helperEnv = "PGTEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) == "" {
		Main(m)
	}
	server, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.PID(), server.dir)
	select {}
}

// startServer starts a server that is stopped when the test ends, and connects to it.
func startServer(t *testing.T, options Options) (*Server, *sqlx.DB) {
	t.Helper()
	server, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server, open(t, server.URL("postgres"))
}

// requireGone fails when the process does not end soon.
func requireGone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil }, 20*time.Second, 10*time.Millisecond, "process %d ends", pid)
}

func TestStopEndsTheServerAndRemovesItsData(t *testing.T) {
	t.Parallel()
	server, db := startServer(t, Options{Settings: []string{"work_mem=5MB"}})
	var commit, memory string
	require.NoError(t, db.QueryRow(`SELECT current_setting('synchronous_commit'), current_setting('work_mem')`).Scan(&commit, &memory))
	require.Equal(t, "on", commit, "an acknowledged commit is never given up, not even in tests")
	require.Equal(t, "5MB", memory)

	require.NoError(t, server.Stop(), "an open session does not hold up a stop")
	<-server.Done()
	require.NoDirExists(t, server.dir)
	require.NoError(t, server.Stop(), "a second stop finds nothing to do")
	require.NoError(t, server.Kill(), "nor does a kill")
}

func TestServerDemandsThePassword(t *testing.T) {
	t.Parallel()
	server, _ := startServer(t, Options{})
	db := open(t, strings.Replace(server.URL("postgres"), server.password, "guess", 1))
	require.ErrorContains(t, db.Ping(), "password authentication failed")
}

// The fault tests rest on this: every commit that was acknowledged before a kill is there after the restart.
func TestKillKeepsEveryAcknowledgedCommit(t *testing.T) {
	t.Parallel()
	server, db := startServer(t, Options{})
	db.MustExec(`CREATE TABLE acknowledged (id bigint PRIMARY KEY)`)
	const writers, enough = 4, 50
	var lock sync.Mutex
	var ids []int64
	reached := make(chan struct{})
	var group errgroup.Group
	for writer := range writers {
		group.Go(func() error {
			for i := int64(writer); ; i += writers {
				if _, err := db.Exec(`INSERT INTO acknowledged VALUES ($1)`, i); err != nil {
					return nil //nolint:nilerr // the kill ends the writer, by one error or another
				}
				lock.Lock()
				ids = append(ids, i)
				if len(ids) == enough {
					close(reached)
				}
				lock.Unlock()
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(30 * time.Second):
		require.FailNow(t, "the writers wrote too little")
	}
	require.NoError(t, server.Kill())
	require.FileExists(t, filepath.Join(server.DataDir(), "postmaster.pid"), "a killed server does not tidy up")
	require.NoError(t, group.Wait())

	restarted, err := server.Restart(t.Context())
	require.NoError(t, err)
	require.Equal(t, server.URL("postgres"), restarted.URL("postgres"))
	var kept []int64
	require.NoError(t, db.Select(&kept, `SELECT id FROM acknowledged`))
	require.Subset(t, kept, ids)
}

func TestFrozenServerAnswersNothingUntilItThaws(t *testing.T) {
	t.Parallel()
	server, db := startServer(t, Options{})
	require.NoError(t, db.PingContext(t.Context()))
	require.NoError(t, server.Freeze())
	answered := make(chan error, 1)
	go func() { answered <- db.PingContext(context.WithoutCancel(t.Context())) }()
	select {
	case err := <-answered:
		require.FailNow(t, "a frozen server answered", "%v", err)
	case <-time.After(300 * time.Millisecond):
	}
	require.NoError(t, server.Thaw())
	require.NoError(t, <-answered, "it answers what it received while it was frozen")

	require.NoError(t, server.Freeze())
	require.NoError(t, server.Kill(), "a frozen server can be killed")
	require.NoError(t, server.Thaw(), "thawing a server that has ended does nothing")
}

func TestServerEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperEnv+"=1")
	helper.Stderr = os.Stderr
	out, err := helper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, helper.Start())
	t.Cleanup(func() { _ = helper.Process.Kill() })
	var pid int
	var dir string
	_, err = fmt.Fscanln(bufio.NewReader(out), &pid, &dir)
	require.NoError(t, err)
	require.DirExists(t, dir)

	require.NoError(t, helper.Process.Kill())
	require.Error(t, helper.Wait())
	requireGone(t, pid)
	removed := func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) }
	require.Eventually(t, removed, 20*time.Second, 10*time.Millisecond, "its data is removed")
}

func TestStartQuotesTheServersLog(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "postgres.log")
	_, err := Start(t.Context(), Options{Settings: []string{"work_mem=plenty"}, LogFile: log})
	require.ErrorContains(t, err, `invalid value for parameter "work_mem": "plenty"`)
	require.FileExists(t, log)
}

func TestProgramsMustBeOfASupportedVersion(t *testing.T) {
	t.Parallel()
	install := func(version string) string {
		dir := t.TempDir()
		for _, program := range []string{"postgres", "initdb"} {
			script := "#!/bin/sh\necho '" + program + " (PostgreSQL) " + version + "'\n"
			require.NoError(t, os.WriteFile(filepath.Join(dir, program), []byte(script), 0o700))
		}
		return dir
	}
	links := t.TempDir() // like a distribution's folder of PATH: a link to the server alone
	newest := install("17.2 (Debian 17.2-1)")
	require.NoError(t, os.Symlink(filepath.Join(newest, "postgres"), filepath.Join(links, "postgres")))
	found, major := inspect(t.Context(), links)
	require.Equal(t, newest, found)
	require.Equal(t, 17, major)
	for _, dir := range []string{t.TempDir(), "relative", install("unknown")} {
		_, major := inspect(t.Context(), dir)
		require.Zero(t, major, dir)
	}
}
