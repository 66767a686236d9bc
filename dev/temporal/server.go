package temporal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"quartermaster/dev/child"
)

const (
	// stopTimeout is how long Stop waits for a clean end.
	stopTimeout = 10 * time.Second
	// readyPoll is how often Start looks whether the server serves.
	readyPoll = 25 * time.Millisecond
	// starts is how often Start tries when other programs take the ports that it chose.
	starts = 3
)

// Options describe the server to start. The zero value is a server in memory on free ports of the loopback interface.
type Options struct {
	// Namespace to create in addition to "default"; "" = only "default".
	Namespace string
	// DBFile is the SQLite file that keeps everything; its directory is created. "" = memory.
	DBFile string
	// PostgresURL is the PostgreSQL server that keeps everything, instead of SQLite. Only the program of OwnProgram can use one.
	PostgresURL string
	// IP to listen on; "" = 127.0.0.1.
	IP string
	// Port of the frontend's gRPC; 0 = a free one.
	Port int
	// UIPort is the port of the Web UI; 0 = a free one, less than 0 = no Web UI.
	UIPort int
	// CodecEndpoint is the URL of the codec server by which the Web UI opens sealed payloads; "" = none.
	CodecEndpoint string
	// SearchAttributes of the namespace: name → Text, Keyword, Int, Double, Bool, Datetime or KeywordList.
	SearchAttributes map[string]string
	// LogFile is appended the output of the program; "" = no file.
	LogFile string
}

// tuning is passed to every program, so that a Temporal CLI, which has other defaults, behaves like dev/temporal-server.
// dynamicconfig.go gives the reason of each value. Server 1.29, in CLI 1.5.1, knows all of these keys.
var tuning = []string{
	"history.transferProcessorMaxPollRPS=1000",
	"history.timerProcessorMaxPollRPS=1000",
	"history.visibilityProcessorMaxPollRPS=1000",
	`history.timerProcessorMaxTimeShift="10ms"`,
	"matching.enableFairness=true",
	"matching.numTaskqueueReadPartitions=1",
	"matching.numTaskqueueWritePartitions=1",
	"frontend.namespaceRPS.visibility=1000",
	"frontend.enableServerVersionCheck=false",
}

// Server is a running Temporal server.
type Server struct {
	options Options
	process *child.Process
	output  *tail
}

// Start runs program, which Program returned, and returns when it serves and has the namespace and all search attributes. ctx
// bounds only the start: the server then runs until Stop, Kill, or the end of this process.
func Start(ctx context.Context, program string, o Options) (*Server, error) {
	given, err := o.complete(ctx)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		o, err := given.drawPorts(ctx)
		if err != nil {
			return nil, err
		}
		s, err := start(ctx, program, o)
		if err == nil {
			return s, nil
		}
		// Another program may have taken a port after Start chose it.
		if attempt == starts || ctx.Err() != nil || !given.drawnPortTaken(ctx, o) {
			return nil, err
		}
	}
}

func start(ctx context.Context, program string, o Options) (*Server, error) {
	s := &Server{options: o, output: &tail{}}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, o.arguments()...)
	cmd.WaitDelay = time.Second
	if o.PostgresURL != "" { // not an argument, which other users of the machine can read: the URL contains a password
		cmd.Env = append(os.Environ(), "TEMPORAL_POSTGRES_URL="+o.PostgresURL)
	}
	var output io.Writer = s.output
	var closers []io.Closer
	if o.LogFile != "" {
		file, err := os.OpenFile(o.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("cannot log what Temporal says: %w", err)
		}
		output, closers = io.MultiWriter(file, s.output), append(closers, file)
	}
	cmd.Stdout, cmd.Stderr = output, output
	var err error
	if s.process, err = child.Start(cmd, closers...); err != nil {
		return nil, fmt.Errorf("cannot run the Temporal server: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		_ = s.Kill()
		return nil, err
	}
	return s, nil
}

// ready waits until the server serves.
func (s *Server) ready(ctx context.Context) error {
	probe, err := newProbe(s.Address(), s.options)
	if err != nil {
		return err
	}
	defer probe.close()
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		err := probe.look(ctx)
		if errors.Is(err, errMismatch) {
			return err
		}
		if err == nil && s.process.Running() {
			return nil
		}
		select {
		case <-s.Done():
			return fmt.Errorf("the Temporal server ended before it served: %w", s.said(s.process.Err()))
		case <-ctx.Done():
			return fmt.Errorf("the Temporal server does not serve on %s: %w (last seen: %w)", s.Address(), context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

// Address returns the host and port of the frontend for a Temporal client.
func (s *Server) Address() string { return s.options.reach(s.options.Port) }

// WebURL returns the address of the Web UI; "" when there is none.
func (s *Server) WebURL() string {
	if s.options.UIPort < 0 {
		return ""
	}
	return "http://" + s.options.reach(s.options.UIPort)
}

// PID returns the id of the server's process.
func (s *Server) PID() int { return s.process.PID() }

// Done returns a channel that is closed when the server's process has ended for any reason.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// Err returns how the server's process ended and its last output, if it ended without Stop or Kill. It returns nil while the
// server runs and after Stop and Kill.
func (s *Server) Err() error {
	if err := s.process.Err(); err != nil {
		return fmt.Errorf("the Temporal server ended: %w", s.said(err))
	}
	return nil
}

// Stop asks the server to stop (SIGTERM), waits 10 seconds, then kills it, which is an error, although nothing that it
// acknowledged is lost. Stopping a server that has ended does nothing.
func (s *Server) Stop() error {
	if err := s.process.Stop(stopTimeout); err != nil {
		return fmt.Errorf("the Temporal server %w", s.said(err))
	}
	return nil
}

// Kill ends the server at once (SIGKILL), as a power cut would, and returns when it is gone. With a DBFile everything
// that it acknowledged is there again after the next Start.
func (s *Server) Kill() error {
	if err := s.process.Kill(); err != nil {
		return fmt.Errorf("the Temporal server %w", err)
	}
	return nil
}

// said adds the server's last output to an error.
func (s *Server) said(err error) error {
	if words := s.output.String(); words != "" {
		return fmt.Errorf("%w: %s", err, words)
	}
	return err
}

// complete sets defaults and refuses invalid options.
func (o Options) complete(ctx context.Context) (Options, error) {
	if o.IP == "" {
		o.IP = "127.0.0.1"
	}
	if net.ParseIP(o.IP) == nil {
		return o, fmt.Errorf("IP %q is not an address: give one such as 127.0.0.1", o.IP)
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	for name, kind := range o.SearchAttributes {
		if _, err := attributeType(kind); err != nil {
			return o, fmt.Errorf("search attribute %q: %w", name, err)
		}
	}
	for _, given := range []struct {
		field string
		port  int
	}{{"Port", o.Port}, {"UIPort", o.UIPort}} {
		if given.port == 0 || given.field == "UIPort" && given.port < 0 {
			continue
		}
		// Otherwise Start would mistake another server on that port for its own.
		if err := free(ctx, o.IP, given.port); err != nil {
			return o, fmt.Errorf("%s %d cannot be used (%w): stop what listens there, or set another %s",
				given.field, given.port, err, given.field)
		}
	}
	if o.DBFile != "" {
		if err := os.MkdirAll(filepath.Dir(o.DBFile), 0o700); err != nil {
			return o, fmt.Errorf("no place for the database of Temporal: %w", err)
		}
	}
	return o, nil
}

// drawPorts replaces the zeros by free ports.
func (o Options) drawPorts(ctx context.Context) (Options, error) {
	var err error
	for _, port := range []*int{&o.Port, &o.UIPort} {
		if *port != 0 {
			continue
		}
		for *port == 0 || (o.Port == o.UIPort) {
			if *port, err = draw(ctx, o.IP); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

// drawnPortTaken reports whether a port that was not given but drawn is in use now.
func (o Options) drawnPortTaken(ctx context.Context, drawn Options) bool {
	return o.Port == 0 && free(ctx, o.IP, drawn.Port) != nil || o.UIPort == 0 && free(ctx, o.IP, drawn.UIPort) != nil
}

// arguments returns the command line of the program. Temporal CLI 1.5.1 understands all of it.
func (o Options) arguments() []string {
	arguments := []string{"server", "start-dev", "--ip", o.IP, "--port", strconv.Itoa(o.Port), "--namespace", o.Namespace}
	if o.UIPort < 0 {
		arguments = append(arguments, "--headless")
	} else {
		arguments = append(arguments, "--ui-ip", o.IP, "--ui-port", strconv.Itoa(o.UIPort))
	}
	if o.CodecEndpoint != "" {
		arguments = append(arguments, "--ui-codec-endpoint", o.CodecEndpoint)
	}
	if o.DBFile != "" {
		arguments = append(arguments, "--db-filename", o.DBFile, "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1")
	}
	for _, name := range slices.Sorted(maps.Keys(o.SearchAttributes)) {
		arguments = append(arguments, "--search-attribute", name+"="+o.SearchAttributes[name])
	}
	for _, value := range tuning {
		arguments = append(arguments, "--dynamic-config-value", value)
	}
	return arguments
}

// reach returns the address to dial for a port: 0.0.0.0 is an address to listen on, not to dial.
func (o Options) reach(port int) string {
	host := o.IP
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// free returns nil when nothing listens on the port.
func free(ctx context.Context, ip string, port int) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return listener.Close()
}

// draw finds a free port below those that the system hands out for outgoing connections (from 32768 on Linux, 49152 on
// macOS): one of those could be taken by any client before the server listens.
func draw(ctx context.Context, ip string) (int, error) {
	const first, count, tries = 10000, 20000, 50
	var last error
	for range tries {
		port := first + rand.IntN(count)
		if last = free(ctx, ip, port); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on %s in %d tries: %w", ip, tries, last)
}

// tail keeps the end of the output of a program.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailSize is how many bytes a tail keeps: a stack trace, not a log.
const tailSize = 4096

// Write appends output and drops what is too old.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = slices.Delete(t.text, 0, over)
	}
	return len(p), nil
}

// String returns the end of the output.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
