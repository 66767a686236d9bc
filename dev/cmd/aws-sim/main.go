// Command aws-sim runs the AWS simulator on its own, for development and for tests in other processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"quartermaster/internal/awssim"
)

// shutdownTimeout is how long running requests may take after a signal. Then requests that a fault holds open are cut off.
const shutdownTimeout = 3 * time.Second

type options struct {
	Listen     string        `help:"Loopback address for AWS calls; port 0 takes a free one." default:"127.0.0.1:4600" env:"AWS_SIM_LISTEN"`
	Admin      string        `help:"Loopback address of the admin API (/_sim/...)." default:"127.0.0.1:4601" env:"AWS_SIM_ADMIN"`
	Seed       string        `help:"JSON file with the initial callers and accounts." type:"existingfile" required:"" env:"AWS_SIM_SEED"`
	Delay      time.Duration `help:"Reads see a write only this long after it (±50 %)." default:"200ms" env:"AWS_SIM_DELAY"`
	IDs        uint64        `name:"ids" help:"Seed of ids and jitter: the same seed and calls give the same ids." default:"1"`
	RateLimits bool          `help:"Throttle the account API as AWS does (contact writes: 1 per second)." negatable:"" default:"true"`
	Verbose    bool          `help:"Log every request." short:"v"`
}

func main() {
	var opts options
	kong.Parse(&opts, kong.Name("aws-sim"),
		kong.Description("A simulator of the AWS services that Quartermaster calls. It is not AWS and keeps everything in memory."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, opts, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "aws-sim:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done. It prints its addresses to out.
func run(ctx context.Context, opts options, out io.Writer) error {
	if opts.Delay < 0 {
		return fmt.Errorf("--delay %v is negative: give 0 or more", opts.Delay)
	}
	seed, err := readSeed(opts.Seed)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if opts.Verbose {
		level = slog.LevelDebug
	}
	sim := awssim.New(awssim.Options{
		Delay: opts.Delay, Seed: opts.IDs, RateLimits: opts.RateLimits,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	})
	if err := sim.Load(seed); err != nil {
		return fmt.Errorf("seed file %s: %w", opts.Seed, err)
	}

	wire, err := listenLoopback(ctx, "--listen", opts.Listen)
	if err != nil {
		return err
	}
	defer func() { _ = wire.Close() }() // serving has closed it already
	admin, err := listenLoopback(ctx, "--admin", opts.Admin)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()

	_, err = fmt.Fprintf(out, "AWS SIMULATOR: this is not AWS; nothing is billed and nothing is kept.\n"+
		"  AWS endpoint  http://%s  (sts, iam, account, cur, bcm-data-exports, s3 path-style)\n"+
		"  admin API     http://%s/_sim/accounts\n"+
		"  %d accounts, %d callers, reads lag %v behind writes\n",
		wire.Addr(), admin.Addr(), len(seed.Accounts), len(seed.Callers), opts.Delay)
	if err != nil {
		return fmt.Errorf("print the addresses: %w", err)
	}
	return serve(ctx, map[net.Listener]http.Handler{wire: sim, admin: sim.AdminHandler()})
}

// serve runs a server on every listener until ctx is done or one of them fails, then stops them all.
func serve(ctx context.Context, handlers map[net.Listener]http.Handler) error {
	failed := make(chan error, len(handlers))
	var servers []*http.Server
	for listener, handler := range handlers {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, server)
		go func() { failed <- server.Serve(listener) }()
	}
	var problems []error
	select {
	case <-ctx.Done():
	case err := <-failed:
		problems = append(problems, err)
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(deadline); errors.Is(err, context.DeadlineExceeded) {
			problems = append(problems, server.Close())
		} else {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func readSeed(path string) (awssim.Seed, error) {
	file, err := os.Open(path)
	if err != nil {
		return awssim.Seed{}, fmt.Errorf("seed file: %w", err)
	}
	defer func() { _ = file.Close() }()
	seed, err := awssim.ReadSeed(file)
	if err != nil {
		return awssim.Seed{}, fmt.Errorf("seed file %s: %w", path, err)
	}
	return seed, nil
}

// listenLoopback listens on a loopback address only: the simulator gives credentials to anyone who asks.
func listenLoopback(ctx context.Context, flag, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%s %q is not HOST:PORT, such as 127.0.0.1:4600: %w", flag, address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s %q is not a loopback address: "+
			"the simulator must not be reachable from other machines; use 127.0.0.1 or ::1", flag, address)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		_ = listener.Close()
		return nil, fmt.Errorf("%s %q resolves to %s, which is not a loopback address", flag, address, listener.Addr())
	}
	return listener, nil
}
