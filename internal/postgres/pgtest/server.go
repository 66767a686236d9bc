//go:build unix

package pgtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"
)

const (
	startTimeout = time.Minute            // when the context of a start has no deadline
	pollInterval = 20 * time.Millisecond  // between looks at a server that starts
	retryPause   = 200 * time.Millisecond // between launches
	loopback     = "127.0.0.1"
)

// Options say what kind of server [Start] launches. The zero value is a fast one.
type Options struct {
	// Durable makes commits survive a crash of the machine, and keeps autovacuum on. A crash of the processes alone loses no
	// acknowledged commit either way, because synchronous_commit stays on.
	Durable bool
	// LogFile receives the server's log. Empty: it is removed with the data.
	LogFile string
	// Settings are more settings of the server, such as "wal_level=replica".
	Settings []string
}

// Server is a running PostgreSQL server with a temporary data directory. Both end with this process at the latest.
type Server struct {
	*cluster

	cmd  *exec.Cmd
	done chan struct{} // closed when the server has ended
}

// cluster is what a restarted server shares with the one before.
type cluster struct {
	dir      string // holds data, the server's log and the password for initdb
	programs string // folder of initdb and postgres
	attr     *syscall.SysProcAttr
	password string
	port     int
	options  Options
	guard    *exec.Cmd
	running  io.WriteCloser // tells the guard which server runs
}

// guardScript ends the server and removes its folder, $1, when its standard input ends: because Stop closes it, or because
// this process is gone, however it ended. Each line of the input is the process id of the server that runs, or empty when
// none does. SIGINT asks for a fast shutdown, after SIGCONT in case the server is frozen.
const guardScript = `
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
	kill -CONT "$pid" $(` + listChildren + `)
	kill -INT "$pid"
	tries=0
	while kill -0 "$pid" && [ $tries -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
	kill -KILL "$pid"
fi 2>/dev/null
rm -rf "$1"`

// listChildren is a shell command that prints the ids of the children of process $pid, on Linux without needing procps.
const listChildren = `cat "/proc/$pid/task/$pid/children" 2>/dev/null || pgrep -P "$pid"`

// Start launches a server and returns when it answers queries. The context bounds the start, not the server's life; without a
// deadline the start may take a minute. When root calls it, the server runs as an unprivileged user.
func Start(ctx context.Context, options Options) (_ *Server, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	c := &cluster{options: options, password: rand.Text(), attr: &syscall.SysProcAttr{Setpgid: true}} // a Ctrl-C must not reach the server
	if c.programs, err = findPrograms(ctx); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "quartermaster-pg-"); err != nil {
		return nil, err
	}
	c.guard = exec.Command("/bin/sh", "-c", guardScript, "sh", c.dir) //nolint:noctx // it must outlive this process
	c.guard.SysProcAttr = c.attr
	if c.running, err = c.guard.StdinPipe(); err == nil {
		err = c.guard.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	s := &Server{cluster: c}
	if err = c.create(ctx); err == nil {
		err = s.launch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Restart starts a server that has ended again, on the same data and the same port.
func (s *Server) Restart(ctx context.Context) (*Server, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	next := &Server{cluster: s.cluster}
	if err := next.launch(ctx); err != nil {
		return nil, err
	}
	return next, nil
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, startTimeout)
}

// create runs initdb. Clusters are equal everywhere: they take no locale from the machine. The superuser has a password,
// because other users of the machine can connect to loopback, too.
func (c *cluster) create(ctx context.Context) error {
	passwordFile := filepath.Join(c.dir, "password")
	err := errors.Join(
		os.Chmod(c.dir, 0o711), // #nosec G302 -- the server's user has to pass through
		os.Mkdir(c.data(), 0o700),
		os.WriteFile(passwordFile, []byte(c.password), 0o600))
	if err == nil && os.Getuid() == 0 {
		err = c.runAs(passwordFile, "postgres", "nobody")
	}
	if err != nil {
		return err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(c.programs, "initdb"), "--pgdata="+c.data(), "--pwfile="+passwordFile,
		"--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr, initdb.Env = c.data(), c.attr, environment()
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w: %s", initdb.Path, err, out)
	}
	return nil
}

// runAs makes the first of the users that exists run the server, and hands the data directory and the file to that user:
// PostgreSQL refuses to run as root.
func (c *cluster) runAs(file string, names ...string) error {
	for _, name := range names {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(found.Uid)
		gid, gidErr := strconv.Atoi(found.Gid)
		c.attr = &syscall.SysProcAttr{
			Setpgid:    true,
			Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, // #nosec G115 -- ids are small
		}
		return errors.Join(uidErr, gidErr, os.Chown(c.data(), uid, gid), os.Chown(file, uid, gid))
	}
	return fmt.Errorf("PostgreSQL does not run as root, and none of the users %q exists: create one, or run as another user", names)
}

// environment has none of the variables that would configure the server, and no language but English.
func environment() []string { return []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")} }

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// launch starts the server and waits until it answers. It tries again when the port was taken before the server could use
// it, and while the memory of a killed server is not free yet.
func (s *Server) launch(ctx context.Context) error {
	for {
		text, err := s.tryLaunch(ctx)
		if err == nil {
			return nil
		}
		if !strings.Contains(text, "could not bind") && !strings.Contains(text, "pre-existing shared memory block") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}

// tryLaunch launches once. It returns the end of the server's log with the error.
func (s *Server) tryLaunch(ctx context.Context) (text string, err error) {
	if s.port == 0 {
		if s.port, err = freePort(ctx); err != nil {
			return "", err
		}
		defer func() {
			if err != nil {
				s.port = 0
			}
		}()
	}
	path := cmp.Or(s.options.LogFile, filepath.Join(s.dir, "server.log"))
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = log.Close() }()
	s.cmd = exec.Command(filepath.Join(s.programs, "postgres"), s.arguments()...) //nolint:noctx // the context bounds the start only
	s.cmd.Dir, s.cmd.SysProcAttr, s.cmd.Env = s.data(), s.attr, environment()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return "", err
	}
	s.tellGuard(strconv.Itoa(s.PID()))
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // the log says how it ended
		s.tellGuard("")
		close(s.done)
	}()
	if err := s.awaitReady(ctx); err != nil {
		content, _ := os.ReadFile(path) // an unreadable log has nothing to add
		text = string(content[max(0, len(content)-4096):])
		return text, errors.Join(fmt.Errorf("start PostgreSQL: %w; its log ends with: %s", err, text), s.Kill())
	}
	return "", nil
}

// tellGuard fails only when the guard is gone, and then there is no one to tell.
func (c *cluster) tellGuard(line string) { _, _ = io.WriteString(c.running, line+"\n") }

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", loopback+":0")
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err = errors.Join(err, listener.Close()); err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}

func (s *Server) arguments() []string {
	settings := []string{
		"listen_addresses=" + loopback,
		"port=" + strconv.Itoa(s.port),
		"unix_socket_directories=",
		"max_connections=200", // a test process runs many tests at once, each with a pool of its own
		"shared_buffers=64MB",
		"wal_level=minimal",
		"max_wal_senders=0",
		"timezone=UTC",
		"log_timezone=UTC",
		"log_checkpoints=off",
		"jit=off", // compiling takes longer than our statements run
	}
	if !s.options.Durable {
		settings = append(settings, "fsync=off", "full_page_writes=off",
			"autovacuum=off") // its workers hold databases open that a test wants to clone or drop
	}
	args := []string{"-D", s.data()}
	for _, setting := range slices.Concat(settings, s.options.Settings) { // of two values, the later one counts
		args = append(args, "-c", setting)
	}
	return args
}

// awaitReady returns when the server answers a query. Any other server on that port would refuse the password.
func (s *Server) awaitReady(ctx context.Context) error {
	db, err := sql.Open("postgres", s.URL("postgres")+"&connect_timeout=5")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("it ended (%s)", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("it did not answer in time: %w", err)
		case <-time.After(pollInterval):
		}
	}
}

// URL returns the address of a database on this server. It contains the superuser's password.
func (s *Server) URL(database string) string {
	address := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", s.password), Path: "/" + database,
		Host: net.JoinHostPort(loopback, strconv.Itoa(s.port)), RawQuery: "sslmode=disable"}
	return address.String()
}

// DataDir returns the data directory.
func (s *Server) DataDir() string { return s.data() }

// PID returns the process id of the postmaster, the parent of all the server's processes.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done returns a channel that is closed when the server has ended, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop shuts the server down, even when sessions are open, and removes its data. It may be called again, and after Kill.
func (s *Server) Stop() error {
	if err := s.running.Close(); errors.Is(err, os.ErrClosed) {
		return nil
	}
	if err := s.guard.Wait(); err != nil {
		return fmt.Errorf("stop PostgreSQL and remove %q: %w", s.dir, err)
	}
	return nil
}

// Kill ends all processes of the server with SIGKILL, as a crash would. Restart recovers every acknowledged commit.
func (s *Server) Kill() error {
	err := s.signalAll(syscall.SIGSTOP, syscall.SIGKILL)
	if killErr := s.cmd.Process.Kill(); !errors.Is(killErr, os.ErrProcessDone) {
		err = errors.Join(err, killErr)
	}
	<-s.done
	return err
}

// Freeze stops all processes of the server where they are (SIGSTOP), like a machine that hangs: connections stay open, the
// operating system accepts new ones, and nothing is answered.
func (s *Server) Freeze() error { return s.signalAll(syscall.SIGSTOP, syscall.SIGSTOP) }

// Thaw lets a frozen server continue. It does nothing for one that is not frozen or has ended.
func (s *Server) Thaw() error { return s.signalAll(syscall.SIGCONT, syscall.SIGCONT) }

// signalAll signals the postmaster and then its children, which run in sessions of their own, so that a signal to a process
// group would miss them. It looks for children until it finds no new one, because a stop takes a moment to reach a postmaster
// that is forking.
func (s *Server) signalAll(postmaster, child syscall.Signal) error {
	if err := s.cmd.Process.Signal(postmaster); err != nil {
		if errors.Is(err, os.ErrProcessDone) {
			return nil
		}
		return fmt.Errorf("signal %v to PostgreSQL, process %d: %w", postmaster, s.PID(), err)
	}
	for seen := map[string]bool{}; ; {
		list := exec.Command("/bin/sh", "-c", "pid=$1; "+listChildren, "sh", strconv.Itoa(s.PID())) //nolint:noctx // takes no time
		out, err := list.Output()
		if err != nil {
			return fmt.Errorf("list the processes of PostgreSQL, process %d: %w", s.PID(), err)
		}
		found := false
		for _, id := range strings.Fields(string(out)) {
			if seen[id] {
				continue
			}
			found, seen[id] = true, true
			pid, err := strconv.Atoi(id)
			if err != nil {
				return err
			}
			if err := syscall.Kill(pid, child); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("signal %v to process %d: %w", child, pid, err)
			}
		}
		if !found {
			return nil
		}
	}
}
