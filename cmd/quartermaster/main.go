// Command quartermaster hands out AWS accounts: it serves the API, runs the workflows and manages the pools.
//
// Each file holds one group of commands. The commands parse options and print results; the work is done by the packages
// that they call. options.go holds the options that several commands share and opens what those options name: the database
// and the ring of seal keys. A command asks for them as parameters of its Run method.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	API       apiCommand       `cmd:"" name:"api" help:"Serve the HTTP API."`
	Worker    workerCommand    `cmd:"" help:"Run the workflows and activities."`
	Migrate   migrateCommand   `cmd:"" help:"Upgrade the database schema to the version of this program."`
	Reconcile reconcileCommand `cmd:"" help:"Compare PostgreSQL, Temporal and AWS, and report what is stuck or contradictory."`
	Providers providersCommand `cmd:"" help:"Create providers."`
	Pools     poolsCommand     `cmd:"" help:"Create, list, show and update pools, and protect AWS accounts."`
	Accounts  accountsCommand  `cmd:"" help:"Create, list, import and export the accounts of the pools."`
	Models    modelsCommand    `cmd:"" help:"Create and list account models."`
	Stock     stockCommand     `cmd:"" help:"Show what is in stock, how long it will last, and which alerts are open."`
	Webhooks  webhooksCommand  `cmd:"" help:"List the webhooks of a provider."`
	Keys      keysCommand      `cmd:"" help:"Create, list, rotate and revoke API keys; create and rotate seal keys."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// env is the environment of a command: where it writes, and a context that ends with SIGINT or SIGTERM.
type env struct {
	ctx    context.Context
	out    io.Writer
	logs   io.Writer // where log writes
	log    *slog.Logger
	closed []func() error
}

// onClose registers what is called after the command has run.
func (e *env) onClose(f func() error) { e.closed = append(e.closed, f) }

// close calls what onClose registered, the newest first.
func (e *env) close() {
	for i := len(e.closed) - 1; i >= 0; i-- {
		if err := e.closed[i](); err != nil {
			e.log.Warn("a resource of the command was not closed", "error", err)
		}
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quartermaster:", err)
		os.Exit(1)
	}
}

// run is main with its context, arguments and outputs as parameters, so that a test can run the program.
func run(ctx context.Context, args []string, out, logs io.Writer) error {
	if err := readSecretFiles(os.LookupEnv, os.Setenv); err != nil {
		return err
	}
	parser, err := kong.New(&cli{}, kong.Name("quartermaster"), kong.Writers(out, logs), kong.UsageOnError(),
		kong.Vars{"version": programVersion()},
		kong.Description("Hands out AWS accounts. Every option can also be set by the environment variable that its help names, "+
			"and secrets by a file that <VARIABLE>_FILE names."))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return err
	}
	e := &env{ctx: ctx, out: out, logs: logs, log: slog.New(slog.NewJSONHandler(logs, nil))}
	defer e.close()
	err = command.Run(e)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // stopped by a signal, as asked
	}
	return err
}

// secretVariables may also be given as files.
var secretVariables = []string{"QM_DATABASE_URL", "QM_SEAL_KEYS", "QM_CODEC_TOKEN"}

// readSecretFiles sets each secret variable from the file that <VARIABLE>_FILE names, which is how container platforms
// pass secrets.
func readSecretFiles(lookup func(string) (string, bool), set func(key, value string) error) error {
	for _, name := range secretVariables {
		path, given := lookup(name + "_FILE")
		if !given || path == "" {
			continue
		}
		if _, twice := lookup(name); twice {
			return fmt.Errorf("%s and %s_FILE are both set: keep one", name, name)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s_FILE: %w", name, err)
		}
		if err := set(name, strings.TrimSpace(string(text))); err != nil {
			return err
		}
	}
	return nil
}
