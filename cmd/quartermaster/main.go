// Command quartermaster hands out AWS accounts: it serves the API, runs the workflows and manages the pools.
//
// Each file holds one group of commands. The commands parse options and print results; the work is done by the packages
// that they call. Most commands go through the API with a key, as package api/client calls it; the others say in their help that
// they need the database. options.go holds the options that several commands share and opens what those options name. A command
// asks for it as a parameter of its Run method.
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
	"github.com/mattn/go-isatty"
)

type cli struct {
	Todo     todoCommand     `cmd:"" group:"api" help:"Show what waits for an operator: orders, alerts, webhooks and accounts."`
	Orders   ordersCommand   `cmd:"" group:"api" help:"Place, find, follow and fix orders."`
	Accounts accountsCommand `cmd:"" group:"api" help:"Add, import, find, fix and export the accounts of the pools."`
	Batches  batchesCommand  `cmd:"" group:"api" help:"Do one verb to many orders or accounts in the background, and follow that."`
	Stock    stockCommands   `cmd:"" group:"api" help:"Show what is in stock, how long it will last, and which alerts are open; or the stock of the past."`
	Alerts   alertsCommand   `cmd:"" group:"api" help:"List and acknowledge stock alerts."`
	Pools    poolsCommand    `cmd:"" group:"api" help:"Create, list, show and update pools, and protect AWS accounts."`
	Webhooks webhooksCommand `cmd:"" group:"api" help:"Manage webhook endpoints and their deliveries."`
	Keys     keysCommand     `cmd:"" group:"api" help:"Create, list, rotate and revoke API keys."`
	Whoami   whoamiCommand   `cmd:"" group:"api" help:"Show which provider and role your API key has, and what it may do."`
	Sessions sessionsCommand `cmd:"" group:"api" help:"List the browsers that are signed in to the console, or sign everyone out."`
	Events   eventsCommand   `cmd:"" group:"api" help:"List events, or follow new ones."`
	History  historyCommand  `cmd:"" group:"api" help:"Show who did what to orders, accounts, pools and API keys, when and why, newest first."`
	Filters  filtersCommand  `cmd:"" group:"api" help:"List, save and delete filters of lists for yourself."`
	Health   healthCommand   `cmd:"" group:"api" help:"Show whether anything is stuck and whether workers are alive."`
	Listen   listenCommand   `cmd:"" group:"api" help:"Forward events to a server on this machine, signed as a webhook would be."`

	Providers providersCommand `cmd:"" group:"database" help:"Create and list providers, and create a provider's first API key."`
	Models    modelsCommand    `cmd:"" group:"database" help:"Create and list account models."`
	Reconcile reconcileCommand `cmd:"" group:"database" help:"Compare PostgreSQL, Temporal and AWS, and report what is stuck or contradictory."`
	SealKeys  sealKeysCommand  `cmd:"" group:"database" help:"Create, watch and replace the keys that seal payloads and passwords."`
	Migrate   migrateCommand   `cmd:"" group:"database" help:"Upgrade the database schema to the version of this program."`

	API        apiCommand        `cmd:"" group:"server" name:"api" help:"Serve the HTTP API."`
	Worker     workerCommand     `cmd:"" group:"server" help:"Run the workflows and activities."`
	Completion completionCommand `cmd:"" group:"shell" help:"Print a script that completes commands, options and values in your shell."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// groups say what the commands of each group need.
var groups = []kong.Group{
	{Key: "api", Title: "Commands that go through the API (QM_API_URL, QM_API_KEY)"},
	{Key: "database", Title: "Commands that need the database (QM_DATABASE_URL)"},
	{Key: "server", Title: "Servers"},
	{Key: "shell", Title: "Your shell"},
}

const description = "Hands out AWS accounts. Every option can also be set by the environment variable that its help names, " +
	"and secrets by a file that <VARIABLE>_FILE names. docs/cli.md explains the commands, and what the exit codes mean."

// env is the environment of a command: what it reads and writes, and a context that ends with SIGINT or SIGTERM.
type env struct {
	streams
	ctx    context.Context
	log    *slog.Logger
	closed []func() error
}

// streams are the standard streams of a command.
type streams struct {
	in         io.Reader
	out        io.Writer
	logs       io.Writer // where log writes, and what is no result
	terminal   bool      // a person reads out
	answerable bool      // a person reads logs and can answer
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
	err := run(ctx, os.Args[1:], streams{
		in:         os.Stdin,
		out:        os.Stdout,
		logs:       os.Stderr,
		terminal:   isatty.IsTerminal(os.Stdout.Fd()),
		answerable: isatty.IsTerminal(os.Stdin.Fd()) && isatty.IsTerminal(os.Stderr.Fd()),
	})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quartermaster:", inWords(err))
		os.Exit(exitCode(err))
	}
}

// newParser returns the parser of the command line.
func newParser(options ...kong.Option) (*kong.Kong, error) {
	return kong.New(&cli{}, append([]kong.Option{
		kong.Name("quartermaster"), kong.Description(description), kong.ExplicitGroups(groups),
		kong.Vars{"version": programVersion()}, kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}),
		kong.TypeMapper(durationType, durationMapper()), kong.TypeMapper(momentType, momentMapper()),
	}, options...)...)
}

// run is main with its context, arguments and streams as parameters, so that a test can run the program.
func run(ctx context.Context, args []string, std streams) error {
	if err := readSecretFiles(os.LookupEnv, os.Setenv); err != nil {
		return err
	}
	parser, err := newParser(kong.Writers(std.out, std.logs))
	if err != nil {
		return err
	}
	if words, asked := completionRequest(args); asked {
		return complete(parser.Model.Node, words, std.out)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return &usageError{unknownCommand(parser.Model.Node, args, err)}
	}
	e := &env{streams: std, ctx: ctx, log: slog.New(slog.NewJSONHandler(std.logs, nil))}
	defer e.close()
	err = command.Run(e)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		if serves(command.Command()) {
			return nil // stopped by a signal, as asked
		}
		return errInterrupted
	}
	return err
}

// serves reports whether a command runs until it is stopped.
func serves(command string) bool {
	return command == "api" || command == "worker" || command == "listen"
}

// secretVariables may also be given as files.
var secretVariables = []string{"QM_DATABASE_URL", "QM_SEAL_KEYS", "QM_CODEC_TOKEN", "QM_OIDC_CLIENT_SECRET", "QM_OIDC_GRANTS"}

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
