//go:build unix

// Package pgtest runs PostgreSQL servers without Docker: [Start] launches one for development and fault tests, [New] hands
// a test a migrated database of its own. Only tests and the dev module import it.
package pgtest

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lib/pq"
)

const (
	startTimeout = time.Minute            // for Start when its context has no deadline
	stopTimeout  = 30 * time.Second       // for a fast shutdown, which writes a last checkpoint
	pollInterval = 10 * time.Millisecond  // between looks at a server that starts or ends
	retryPause   = 100 * time.Millisecond // between launches while an earlier server's processes go away
	logTail      = 4 << 10                // bytes of the server's log that an error quotes
	loopback     = "127.0.0.1"
)

// Options say what kind of server [Start] launches. The zero value is a fast, temporary one on a free port.
type Options struct {
	// Dir is the data directory. It is created when it is missing and used as it is when it holds a cluster that an
	// earlier Start made. Empty: a temporary one, removed by Stop.
	Dir string
	// Durable makes committed rows survive a crash of the machine. Without it fsync and full_page_writes are off, which
	// a crash of the server's processes survives all the same: acknowledged commits are never given up, as
	// synchronous_commit stays on.
	Durable bool
	// Port is the TCP port on 127.0.0.1. 0: a free one.
	Port int
	// LogFile receives the server's log, emptied at the start. Empty: server.log in the data directory or, for a
	// temporary one, beside it.
	LogFile string
	// Settings are more of the server's settings, such as "wal_level=replica".
	Settings []string
}

// Server is a running PostgreSQL server that ends with this process at the latest.
type Server struct {
	dir, scratch string // scratch is the temporary folder to remove, or empty
	lock         *os.File
	port         int
	password     string
	cmd          *exec.Cmd
	release      func()        // ends the guard of systems without a parent-death signal
	done         chan struct{} // closed when the postmaster has ended
	stop         sync.Mutex    // one Stop or Kill at a time
}

// Start launches a server and returns when it answers queries. The context bounds the start only, not the server's life;
// without a deadline the start is given a minute. The error is, or wraps, [ErrNotInstalled] when there is no PostgreSQL.
func Start(ctx context.Context, opts Options) (_ *Server, err error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTimeout)
		defer cancel()
	}
	bin, err := findBinaries(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: opts.Dir, release: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.cleanUp())
		}
	}()
	logFile := opts.LogFile
	if s.dir == "" {
		if s.scratch, s.lock, err = newScratch(); err != nil {
			return nil, err
		}
		s.dir = filepath.Join(s.scratch, "data")
		logFile = cmp.Or(logFile, filepath.Join(s.scratch, "server.log"))
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, fmt.Errorf("data directory %q: %w", opts.Dir, err)
	}
	logFile = cmp.Or(logFile, filepath.Join(s.dir, "server.log"))
	who, err := serviceAccount(s.dir)
	if err != nil {
		return nil, err
	}
	if err := refuseRunning(ctx, s.dir); err != nil {
		return nil, err
	}
	if s.password, err = prepareCluster(ctx, bin, who, s.dir); err != nil {
		return nil, err
	}
	for {
		err := s.launch(ctx, bin, who, opts, logFile)
		if err == nil {
			return s, nil
		}
		var again *transientError
		if !errors.As(err, &again) || (again.port && opts.Port != 0) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(retryPause):
		}
	}
}

// refuseRunning reports a server that still runs on the data directory. What the file of a killed one says is stale.
func refuseRunning(ctx context.Context, dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return nil //nolint:nilerr // no such file, the ordinary case; PostgreSQL itself reports any other fault better
	}
	lines := strings.Split(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || len(lines) < 4 || !running(pid) {
		return nil //nolint:nilerr // a file without a process id was left by a crash
	}
	// The id may have been given to another program since, so ask whether somebody serves the port.
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(loopback, strings.TrimSpace(lines[3])))
	if err != nil {
		return nil //nolint:nilerr // nobody serves it; if it is starting, PostgreSQL's own lock refuses the second one
	}
	return errors.Join(
		fmt.Errorf("data directory %q is in use by the PostgreSQL with process id %d on port %s: stop that one first, or choose another directory",
			dir, pid, strings.TrimSpace(lines[3])),
		conn.Close())
}

// transientError is a failed launch that is worth another: the port was taken meanwhile, or processes of a killed server
// have not noticed its end yet.
type transientError struct {
	error

	port bool
}

func (e *transientError) Unwrap() error { return e.error }

// launch starts the postmaster once and waits until it answers.
func (s *Server) launch(ctx context.Context, bin binaries, who account, opts Options, logFile string) error {
	var err error
	if s.port, err = choosePort(ctx, opts.Port); err != nil {
		return err
	}
	log, err := os.OpenFile(logFile, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = log.Close() }()

	// Not CommandContext: the context bounds the start, not the server.
	s.cmd = exec.Command(bin.postgres(), s.arguments(opts)...) //nolint:noctx // see above
	s.cmd.Dir, s.cmd.Env, s.cmd.SysProcAttr = s.dir, serverEnv(), who.attributes()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	bindToParent(s.cmd)
	if err := s.run(); err != nil {
		if explained := who.unreachable(s.dir); explained != nil {
			return explained
		}
		return fmt.Errorf("run %s: %w", bin.postgres(), err)
	}
	if s.release, err = guard(s.cmd); err != nil {
		return errors.Join(err, s.end(syscall.SIGQUIT, stopTimeout)) //nolint:contextcheck // the start may be out of time, the server has to end all the same
	}
	err = s.awaitReady(ctx)
	if err == nil {
		return nil
	}
	err = errors.Join(err, s.end(syscall.SIGQUIT, stopTimeout)) //nolint:contextcheck // as above
	text := tail(log)
	err = fmt.Errorf("start PostgreSQL %s on data directory %q: %w; its log ends with: %s", bin.version, s.dir, err, text)
	switch {
	case strings.Contains(text, "could not bind") || strings.Contains(text, "could not create any TCP/IP sockets"):
		return &transientError{error: err, port: true}
	case strings.Contains(text, "pre-existing shared memory block"):
		return &transientError{error: err}
	}
	return err
}

// choosePort returns the port to use and refuses one that is taken, which is a clearer message than the server's.
func choosePort(ctx context.Context, want int) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(want)))
	if err != nil {
		return 0, fmt.Errorf("port %d on %s cannot be used: choose another one, or 0 for a free one: %w", want, loopback, err)
	}
	addr, ok := listener.Addr().(*net.TCPAddr)
	if err := listener.Close(); err != nil || !ok {
		return 0, fmt.Errorf("find a free port: address %v: %w", listener.Addr(), err)
	}
	return addr.Port, nil
}

// arguments are the server's command line. Everything stands here and nothing in the data directory's configuration file,
// so that a directory means the same to every release.
func (s *Server) arguments(opts Options) []string {
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
	if !opts.Durable {
		settings = append(settings,
			"fsync=off",
			"full_page_writes=off",
			"autovacuum=off", // its workers hold databases open that a test wants to clone or drop
		)
	}
	args := []string{"-D", s.dir}
	for _, setting := range append(settings, opts.Settings...) { // of two the later one counts
		args = append(args, "-c", setting)
	}
	return args
}

// run starts the postmaster and a goroutine that waits for its end. The goroutine keeps its thread: the parent-death
// signal is sent when the thread that started the process ends, and Go ends idle threads as it likes.
func (s *Server) run() error {
	cmd, done, started := s.cmd, make(chan struct{}), make(chan error, 1)
	s.done = done
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is for the log; Done tells that it did
		}
	}()
	return <-started
}

// awaitReady returns when our own server answers a query, and not just any server on that port.
func (s *Server) awaitReady(ctx context.Context) error {
	connector, err := pq.NewConnector(s.URL("postgres") + "&connect_timeout=5")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		var dir string
		err := db.QueryRowContext(ctx, "SELECT current_setting('data_directory')").Scan(&dir)
		if err == nil && dir == s.dir {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("port %d is served by another PostgreSQL, on data directory %q", s.port, dir)
		}
		select {
		case <-s.done:
			return fmt.Errorf("it ended (%s)", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("it did not answer in time: %w: %w", context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

// tail returns the end of a log on one line.
func tail(log *os.File) string {
	info, err := log.Stat()
	if err != nil {
		return "(unreadable: " + err.Error() + ")"
	}
	from := max(0, info.Size()-logTail)
	content, err := io.ReadAll(io.NewSectionReader(log, from, logTail))
	if err != nil {
		return "(unreadable: " + err.Error() + ")"
	}
	return strings.Join(strings.Fields(string(content)), " ")
}

// URL returns the address of a database on this server, for lib/pq and every other client. It holds the superuser's password.
func (s *Server) URL(database string) string {
	address := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     net.JoinHostPort(loopback, strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return address.String()
}

// Dir returns the data directory's absolute path; [Start] with it carries on where this server ended.
func (s *Server) Dir() string { return s.dir }

// Port returns the TCP port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// PID returns the process id of the postmaster, the parent of all the server's processes.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done returns a channel that is closed when the postmaster has ended, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop shuts the server down, cutting its sessions but losing nothing, and removes a temporary data directory. It may be
// called again, and after Kill.
func (s *Server) Stop() error {
	s.stop.Lock()
	defer s.stop.Unlock()
	return errors.Join(s.end(syscall.SIGINT, stopTimeout), s.cleanUp())
}

// Kill ends the postmaster and all its backends by SIGKILL, as a crash would, and returns when they are gone. The data
// directory stays: [Start] on it recovers every acknowledged commit.
func (s *Server) Kill() error {
	s.stop.Lock()
	defer s.stop.Unlock()
	return s.kill()
}

// end asks the postmaster to end by the signal and kills it when it has not done so in time.
func (s *Server) end(signal syscall.Signal, timeout time.Duration) error {
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop PostgreSQL, process %d: %w", s.PID(), err)
	}
	select {
	case <-s.done:
		s.release()
		return nil
	case <-time.After(timeout):
		return errors.Join(fmt.Errorf("PostgreSQL, process %d, did not stop within %v and was killed", s.PID(), timeout), s.kill())
	}
}

// kill stops the postmaster first, so that it can neither fork another backend nor reap one, which would free its id for
// somebody else; then the backends die, which run in sessions of their own and are missed by a signal to the group.
func (s *Server) kill() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var backends []int
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err == nil {
		err := poll(ctx, func() (bool, error) {
			table, err := processes(ctx)
			if err != nil {
				return false, err
			}
			gone := true
			for _, p := range table {
				if p.parent != s.PID() || p.zombie {
					continue
				}
				gone = false
				if !slices.Contains(backends, p.pid) {
					backends = append(backends, p.pid)
				}
				if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					return false, fmt.Errorf("kill backend %d: %w", p.pid, err)
				}
			}
			return gone, nil
		})
		if err != nil {
			return errors.Join(err, s.cmd.Process.Kill())
		}
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill PostgreSQL, process %d: %w", s.PID(), err)
	}
	select {
	case <-s.done:
		s.release()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("PostgreSQL, process %d, survived SIGKILL for %v", s.PID(), stopTimeout)
	}
}

// poll calls check until it says true, fails, or the context ends.
func poll(ctx context.Context, check func() (bool, error)) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if done, err := check(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// cleanUp removes the temporary folder, if there is one.
func (s *Server) cleanUp() error {
	if s.scratch == "" {
		return nil
	}
	err := os.RemoveAll(s.scratch)
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	s.scratch, s.lock = "", nil
	if err != nil {
		return fmt.Errorf("remove the temporary data directory: %w", err)
	}
	return nil
}
