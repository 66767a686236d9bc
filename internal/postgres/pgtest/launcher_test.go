//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// setup starts a server that is stopped when the test ends, and connects to it.
func setup(t *testing.T, opts Options) (*Server, *sqlx.DB) {
	t.Helper()
	began := time.Now()
	server, err := Start(t.Context(), opts)
	require.NoError(t, err)
	t.Logf("the server answered after %v", time.Since(began).Round(time.Millisecond))
	db, err := sqlx.Open("postgres", server.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, db.Close())
		require.NoError(t, server.Stop())
	})
	return server, db
}

// family returns the process ids of the postmaster and its children.
func family(t *testing.T, server *Server) []int {
	t.Helper()
	table, err := processes(t.Context())
	require.NoError(t, err)
	pids := []int{server.PID()}
	for _, p := range table {
		if p.parent == server.PID() {
			pids = append(pids, p.pid)
		}
	}
	require.Greater(t, len(pids), 3, "a server has several processes: %v", table)
	return pids
}

// requireGone fails when one of the processes still runs.
func requireGone(t *testing.T, pids []int) {
	t.Helper()
	table, err := processes(t.Context())
	require.NoError(t, err)
	for _, p := range table {
		require.False(t, !p.zombie && slices.Contains(pids, p.pid), "process %d is left", p.pid)
	}
}

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	server, db := setup(t, Options{})

	var got struct {
		SynchronousCommit string `db:"synchronous_commit"`
		FSync             string `db:"fsync"`
		Addresses         string `db:"listen_addresses"`
		Sockets           string `db:"unix_socket_directories"`
	}
	require.NoError(t, db.Get(&got, `SELECT current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,
		current_setting('listen_addresses') AS listen_addresses, current_setting('unix_socket_directories') AS unix_socket_directories`))
	require.Equal(t, "on", got.SynchronousCommit, "an acknowledged commit is never given up, not even in tests")
	require.Equal(t, "off", got.FSync)
	require.Equal(t, "127.0.0.1", got.Addresses)
	require.Empty(t, got.Sockets)

	scratch, pids := server.scratch, family(t, server)
	require.DirExists(t, scratch)
	require.NoError(t, server.Stop(), "an open session does not hold a stop up")
	<-server.Done()
	requireGone(t, pids)
	require.NoDirExists(t, scratch)
	require.NoError(t, server.Stop(), "a second stop finds nothing to do")
	require.NoError(t, server.Kill(), "nor does a kill")
}

func TestStartDemandsThePassword(t *testing.T) {
	t.Parallel()
	server, _ := setup(t, Options{})
	db, err := sqlx.Open("postgres", strings.Replace(server.URL("postgres"), server.password, "guess", 1))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.ErrorContains(t, db.Ping(), "password authentication failed")
}

// The fault tests rest on this: whatever was acknowledged before a kill -9 is there after the restart.
func TestKillKeepsEveryAcknowledgedCommit(t *testing.T) {
	t.Parallel()
	for name, durable := range map[string]bool{"durable": true, "fast": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := Dir(t)
			server, db := setup(t, Options{Dir: dir, Durable: durable})
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
							return nil //nolint:nilerr // the kill ends the writer, by whatever error
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
			pids := family(t, server)
			require.NoError(t, server.Kill())
			requireGone(t, pids)
			require.FileExists(t, filepath.Join(dir, "postmaster.pid"), "a killed server leaves its file behind")
			require.NoError(t, group.Wait())

			_, db = setup(t, Options{Dir: dir, Durable: durable})
			var kept []int64
			require.NoError(t, db.Select(&kept, `SELECT id FROM acknowledged`))
			require.Subset(t, kept, ids)
			t.Logf("%d acknowledged, %d found", len(ids), len(kept))
		})
	}
}

// Somebody else's kill -9 reaches the postmaster alone. A backend that computes does not look up until it is done, and holds
// the shared memory until then: the next server waits for it, as two on one directory would destroy it.
func TestStartAfterThePostmasterAloneWasKilled(t *testing.T) {
	t.Parallel()
	dir := Dir(t)
	server, db := setup(t, Options{Dir: dir})
	db.MustExec(`CREATE TABLE kept (id int)`)
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		_, _ = db.Exec(`SELECT count(*) FROM generate_series(1, 5000000)`) // the answer may get through or not
	}()
	eventually(t, func() bool {
		var active bool
		err := db.Get(&active, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT count%' AND state = 'active')`)
		return err == nil && active
	}, "the long query runs")
	pids := family(t, server)
	require.NoError(t, syscall.Kill(server.PID(), syscall.SIGKILL))
	<-server.Done()

	_, again := setup(t, Options{Dir: dir})
	requireGone(t, pids)
	var rows int
	require.NoError(t, again.Get(&rows, `SELECT count(*) FROM kept`))
	select {
	case <-busy:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the query outlived its server")
	}
}

func TestServerEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	process, facts := startHelper(t, "server")
	require.Len(t, facts, 2)
	pid, err := strconv.Atoi(facts[0])
	require.NoError(t, err)
	scratch := facts[1]
	require.True(t, running(pid))

	require.NoError(t, process.Process.Kill())
	require.Error(t, process.Wait())
	eventually(t, func() bool { return !running(pid) }, "the server ends")

	// What the dead process could not remove is removed by the next server's start, once it is old enough.
	require.DirExists(t, scratch)
	sweep(filepath.Dir(scratch), 0)
	require.NoDirExists(t, scratch)
}

func TestWatchEndsTheServerWithItsProcess(t *testing.T) {
	t.Parallel()
	victim := exec.CommandContext(t.Context(), "cat")
	input, err := victim.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	defer func() { _ = input.Close() }()

	release, err := watch(victim.Process.Pid)
	require.NoError(t, err)
	release()
	watcher, facts := startHelper(t, "watch="+strconv.Itoa(victim.Process.Pid))
	require.Equal(t, []string{"watching"}, facts)
	require.True(t, running(victim.Process.Pid), "a released watch harms nobody")

	require.NoError(t, watcher.Process.Kill())
	require.Error(t, watcher.Wait())
	var exit *exec.ExitError
	require.ErrorAs(t, victim.Wait(), &exit)
	status, ok := exit.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.Equal(t, syscall.SIGINT, status.Signal())
}

func TestStartRefusesADirectoryInUse(t *testing.T) {
	t.Parallel()
	dir := Dir(t)
	server, _ := setup(t, Options{Dir: dir})
	_, err := Start(t.Context(), Options{Dir: dir})
	require.ErrorContains(t, err, fmt.Sprintf("is in use by the PostgreSQL with process id %d", server.PID()))
}

func TestStartRefusesATakenPort(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)

	_, err = Start(t.Context(), Options{Port: number})
	require.ErrorContains(t, err, "port "+port+" on 127.0.0.1 cannot be used: choose another one, or 0 for a free one")
}

func TestStartUsesTheGivenPortAndLog(t *testing.T) {
	t.Parallel()
	first, _ := setup(t, Options{})
	require.NoError(t, first.Stop())
	log := filepath.Join(t.TempDir(), "postgres.log")
	server, db := setup(t, Options{Port: first.Port(), LogFile: log})
	require.Equal(t, first.Port(), server.Port())
	_, err := db.Exec(`SELECT no_such_column`)
	require.Error(t, err)
	content, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(content), "no_such_column")
}

func TestStartRefusesAStrangeDirectory(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, content, want string }{
		"not ours":        {"holiday.jpg", "", "is neither empty nor a PostgreSQL data directory"},
		"another version": {versionFile, "9\n", "was made by PostgreSQL 9"},
		"no password":     {versionFile, "", "has no password of ours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := Dir(t)
			require.NoError(t, os.Mkdir(dir, 0o700))
			if test.file == versionFile && test.content == "" {
				bin, err := findBinaries(t.Context())
				require.NoError(t, err)
				test.content = strconv.Itoa(bin.major)
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, test.file), []byte(test.content), 0o600))
			_, err := Start(t.Context(), Options{Dir: dir})
			require.ErrorContains(t, err, test.want)
			require.FileExists(t, filepath.Join(dir, test.file), "nothing of somebody else's is removed")
		})
	}
}

// A configuration that the server refuses: the error carries its own words, and nothing is left.
func TestStartQuotesTheServersLog(t *testing.T) {
	t.Parallel()
	dir := Dir(t)
	server, _ := setup(t, Options{Dir: dir})
	require.NoError(t, server.Stop())
	config, err := os.OpenFile(filepath.Join(dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = config.WriteString("\nwork_mem = 'plenty'\n")
	require.NoError(t, errors.Join(err, config.Close()))

	_, err = Start(t.Context(), Options{Dir: dir})
	require.ErrorContains(t, err, `invalid value for parameter "work_mem": "plenty"`)
	require.NoFileExists(t, filepath.Join(dir, "postmaster.pid"), "the refused server is gone")
}

func TestStartsAtOnceShareTheCache(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			_, db := setup(t, Options{})
			require.NoError(t, db.Ping())
		})
	}
}
