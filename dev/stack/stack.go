package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"quartermaster/dev/temporal"
	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/workflows"
)

// Options say how to run the product.
type Options struct {
	Progress    io.Writer     // receives what is being done; nil: nothing is printed
	DatabaseURL string        // an existing PostgreSQL; empty: start one
	TemporalURL string        // host:port of an existing Temporal; empty: start one
	SealKeys    string        // as QM_SEAL_KEYS; empty: new keys, or the kept ones for existing servers
	KnownPorts  bool          // use the well-known ports if they are free
	Delay       time.Duration // delay until reads of the simulated AWS see a write
	Workers     int           // how many worker processes; 0: one
	Env         []string      // more variables of the program, as NAME=value
	Program     string        // the program, as Stack.Program of another stack; empty: build it
	Restart     bool          // start the API and the workers again when they end unexpectedly, as a platform does
	// TemporalInPostgres keeps Temporal's data in databases of the PostgreSQL server that the stack starts, with the number of history
	// shards of a small production, instead of in SQLite.
	TemporalInPostgres bool
	PostgresSettings   []string // of the server that the stack starts, such as "shared_buffers=256MB"
	Proxies            bool     // the program reaches PostgreSQL and Temporal through proxies, see Stack.DatabaseProxy
}

// Stack is the running product.
type Stack struct {
	API      string // base URL
	WebUI    string // base URL; empty for an existing Temporal
	Temporal string // host:port
	Database string // URL
	AWS      string // base URL of the simulator
	AWSAdmin string // base URL of the simulator's admin API
	SealKeys string // as QM_SEAL_KEYS
	Dir      string // logs and data
	Program  string // the built quartermaster
	Sim      *awssim.Sim
	Store    *postgres.DB
	// The proxies between the program and its servers make its network slow, silent or broken; nil without Options.Proxies.
	DatabaseProxy, TemporalProxy *pgtest.Proxy

	env       []string
	parts     []*part
	closers   []func() error // newest last
	progress  io.Writer
	failed    chan error
	callerKey awssim.Caller
}

const (
	namespace   = "default"
	stopGrace   = 40 * time.Second // the worker gives running activities 30 s
	startBudget = 60 * time.Second
)

// Start starts all parts in the order of their dependencies. When one cannot start, it stops the others.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	dir, err := os.MkdirTemp("", "quartermaster-dev-")
	if err != nil {
		return nil, err
	}
	s := &Stack{Dir: dir, progress: o.Progress, failed: make(chan error, 8)}
	s.onStop(func() error { return os.RemoveAll(dir) })
	if s.SealKeys, err = sealKeys(o); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	for _, part := range []struct {
		name  string
		start func(context.Context, Options) error
	}{
		{"program", s.buildProgram},
		{"PostgreSQL", s.startPostgres},
		{"AWS simulator", s.startSimulator},
		{"Temporal", s.startTemporal},
		{"schema", s.migrate},
		{"API", s.startAPI},
		{"worker", s.startWorkers},
	} {
		began := time.Now()
		if err := part.start(ctx, o); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Fprintf(s.progress, "  ✓ %-14s %5.1f s\n", part.name, time.Since(began).Seconds())
	}
	return s, nil
}

// Failed returns a channel that receives an error when a part ends unexpectedly.
func (s *Stack) Failed() <-chan error { return s.failed }

// Stop stops all parts in reverse order and leaves nothing running.
func (s *Stack) Stop() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Stack) onStop(f func() error) { s.closers = append(s.closers, f) }

func (s *Stack) buildProgram(ctx context.Context, o Options) error {
	if s.Program = o.Program; s.Program != "" {
		return nil
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "quartermaster").Output()
	if err != nil {
		return fmt.Errorf("go list -m quartermaster: %w; run this inside the module quartermaster/dev", err)
	}
	s.Program = filepath.Join(s.Dir, "quartermaster")
	build := exec.CommandContext(ctx, "go", "build", "-o", s.Program, "./cmd/quartermaster")
	build.Dir = strings.TrimSpace(string(root))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/quartermaster: %w\n%s", err, out)
	}
	return nil
}

func (s *Stack) startPostgres(ctx context.Context, o Options) error {
	s.Database = o.DatabaseURL
	if s.Database == "" {
		var server *pgtest.Server
		if err := s.startPart(ctx, &part{name: PartPostgres, start: func(ctx context.Context) (_ process, err error) {
			if server == nil {
				server, err = pgtest.Start(ctx, pgtest.Options{
					Durable: true, LogFile: s.LogFile(PartPostgres), Settings: o.PostgresSettings,
				})
			} else {
				server, err = server.Restart(ctx) // after a crash, at the same address
			}
			if err != nil {
				return nil, err
			}
			s.Database = server.URL("postgres")
			return server, nil
		}}); err != nil {
			return err
		}
	}
	db, err := postgres.Open(ctx, s.Database)
	if err != nil {
		return err
	}
	s.onStop(db.Close)
	s.Store = db
	return nil
}

// startSimulator serves the simulated AWS and, on another port, what it shows of its state.
func (s *Stack) startSimulator(ctx context.Context, o Options) error {
	s.Sim = awssim.New(awssim.Options{Delay: o.Delay, Seed: uint64(time.Now().UnixNano()), Logger: slog.New(slog.DiscardHandler)})
	// Generated each time, in the shape of AWS's keys, so that the source contains nothing that looks like a leaked key.
	s.callerKey = awssim.Caller{
		AccessKeyID:     "AKIA" + rand.Text()[:16],
		SecretAccessKey: rand.Text() + rand.Text()[:14],
		ARN:             "arn:aws:iam::000000000000:role/marketplace-provisioner-svc",
	}
	if err := s.Sim.Load(awssim.Seed{Callers: []awssim.Caller{s.callerKey}}); err != nil {
		return err
	}
	var err error
	if s.AWS, err = s.serve(ctx, s.Sim, 4566, o.KnownPorts); err != nil {
		return err
	}
	s.AWSAdmin, err = s.serve(ctx, s.Sim.AdminHandler(), 4567, o.KnownPorts)
	return err
}

func (s *Stack) startTemporal(ctx context.Context, o Options) error {
	s.Temporal = o.TemporalURL
	codec, err := freePort(ctx, 8234, o.KnownPorts)
	if err != nil {
		return err
	}
	if s.Temporal == "" {
		find, file, postgresURL := temporal.Program, filepath.Join(s.Dir, "temporal.db"), ""
		if o.TemporalInPostgres {
			find, file, postgresURL = temporal.OwnProgram, "", s.Database
		}
		program, err := find(ctx, s.progress)
		if err != nil {
			return err
		}
		options := temporal.Options{
			Namespace: namespace, DBFile: file, PostgresURL: postgresURL, IP: "127.0.0.1",
			CodecEndpoint:    fmt.Sprintf("http://127.0.0.1:%d", codec),
			SearchAttributes: workflows.SearchAttributes(), LogFile: s.LogFile(PartTemporal),
		}
		if options.Port, err = freePort(ctx, 7233, o.KnownPorts); err != nil {
			return err
		}
		if options.UIPort, err = freePort(ctx, 8233, o.KnownPorts); err != nil {
			return err
		}
		if err := s.startPart(ctx, &part{name: PartTemporal, start: func(ctx context.Context) (process, error) {
			server, err := temporal.Start(ctx, program, options)
			if err != nil {
				return nil, err
			}
			s.Temporal, s.WebUI = server.Address(), server.WebURL()
			return server, nil
		}}); err != nil {
			return err
		}
	}
	temporalAddress, databaseURL := s.Temporal, s.Database
	if o.Proxies {
		if temporalAddress, databaseURL, err = s.startProxies(); err != nil {
			return err
		}
	}
	s.env = append(s.env,
		"TEMPORAL_ADDRESS="+temporalAddress,
		"TEMPORAL_NAMESPACE="+namespace,
		"QM_DATABASE_URL="+databaseURL,
		"QM_SEAL_KEYS="+s.SealKeys,
		"QM_AWS_ENDPOINT="+s.AWS,
		"AWS_ACCESS_KEY_ID="+s.callerKey.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY="+s.callerKey.SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED=true",
		"QM_AWS_POLL_EVERY=100ms", // the simulated AWS shows a write after milliseconds, the real one after seconds
		"QM_AWS_VISIBLE_FOR=3s",
		"QM_AWS_ABSENT_FOR=500ms",
		"QM_AWS_DENIED_FOR=2s", // it knows at once who may do what, the real one after minutes
		"QM_REQUESTS_PER_SECOND=1000",
		fmt.Sprintf("QM_CODEC_LISTEN=127.0.0.1:%d", codec),
		"QM_CODEC_ORIGIN="+s.WebUI, "QM_TEMPORAL_WEB="+s.WebUI,
	)
	s.env = append(s.env, o.Env...)
	return nil
}

// startProxies puts a proxy in front of Temporal and one in front of PostgreSQL, and returns the addresses for the program.
func (s *Stack) startProxies() (temporalAddress, databaseURL string, err error) {
	database, err := url.Parse(s.Database)
	if err != nil {
		return "", "", fmt.Errorf("the address of the database: %w", err)
	}
	if s.TemporalProxy, err = pgtest.NewProxy(s.Temporal); err != nil {
		return "", "", err
	}
	s.onStop(s.TemporalProxy.Close)
	if s.DatabaseProxy, err = pgtest.NewProxy(database.Host); err != nil {
		return "", "", err
	}
	s.onStop(s.DatabaseProxy.Close)
	database.Host = s.DatabaseProxy.Addr()
	return s.TemporalProxy.Addr(), database.String(), nil
}

func (s *Stack) migrate(ctx context.Context, _ Options) error {
	out, err := s.Command(ctx, "migrate").CombinedOutput()
	if err != nil {
		return fmt.Errorf("quartermaster migrate: %w\n%s", err, out)
	}
	return nil
}

// Reconcile runs `quartermaster reconcile --aws`, with additional variables. Its error contains the findings.
func (s *Stack) Reconcile(ctx context.Context, env ...string) error {
	command := s.Command(ctx, "reconcile", "--aws")
	command.Env = append(command.Env, env...)
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("quartermaster reconcile: %w\n%s", err, out)
	}
	return nil
}

func (s *Stack) startAPI(ctx context.Context, o Options) error {
	port, err := freePort(ctx, 8080, o.KnownPorts)
	if err != nil {
		return err
	}
	s.API = fmt.Sprintf("http://127.0.0.1:%d", port)
	s.env = append(s.env, fmt.Sprintf("QM_LISTEN=127.0.0.1:%d", port), "QM_PUBLIC_URL="+s.API)
	if err := s.startProgram(ctx, PartAPI, o.Restart); err != nil {
		return err
	}
	return s.awaitReady(ctx)
}

func (s *Stack) startWorkers(ctx context.Context, o Options) error {
	for range max(1, o.Workers) {
		if err := s.startProgram(ctx, PartWorker, o.Restart); err != nil {
			return err
		}
	}
	return nil
}

// AddWorker starts one more worker.
func (s *Stack) AddWorker(ctx context.Context) error { return s.startProgram(ctx, PartWorker, false) }

// Command returns a command of the program, with the variables of the stack.
func (s *Stack) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.Program, args...)
	cmd.Env = append(os.Environ(), s.env...)
	return cmd
}

func (s *Stack) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startBudget)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.API+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode < http.StatusMultipleChoices {
				return nil
			}
		}
		select {
		case err := <-s.failed:
			return fmt.Errorf("%w\n%s", err, s.logTail(PartAPI))
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s\n%s", startBudget, s.logTail(PartAPI))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// logTail returns the end of a part's log. The log is deleted when the stack stops.
func (s *Stack) logTail(name string) string {
	const most = 4096
	text, err := os.ReadFile(s.LogFile(name))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// LogFile returns the log of a part. Several workers share one.
func (s *Stack) LogFile(name string) string { return filepath.Join(s.Dir, name+".log") }

// serve serves the handler on the loopback interface until the stack stops.
func (s *Stack) serve(ctx context.Context, handler http.Handler, port int, known bool) (baseURL string, err error) {
	if port, err = freePort(ctx, port, known); err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	s.onStop(server.Close)
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), nil
}

// freePort returns the wanted port if it is known and free, and otherwise any free port. It avoids the range of ports of outgoing
// connections, one of which could take the port while its server is down.
func freePort(ctx context.Context, wanted int, known bool) (int, error) {
	for attempt := range 100 {
		port := 20000 + mathrand.N(10000)
		if known && attempt == 0 {
			port = wanted
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		return port, listener.Close()
	}
	return 0, errors.New("no free port was found on 127.0.0.1")
}
