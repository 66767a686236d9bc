// Command quartermaster hands out AWS accounts: it serves the API, runs the workflows, and keeps the pool.
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
	Verify    verifyCommand    `cmd:"" help:"Check that nothing is stuck and nothing contradicts itself."`
	Migrate   migrateCommand   `cmd:"" help:"Bring the database's schema to this program's version."`
	Accounts  accountsCommand  `cmd:"" help:"Add, list, import and export the accounts of the pools."`
	Providers providersCommand `cmd:"" help:"Add a provider."`
	Pools     poolsCommand     `cmd:"" help:"Add, list, show and set pools; protect accounts."`
	Stock     stockCommand     `cmd:"" help:"What is in stock, how long it will last, and which alerts are open."`
	Keys      keysCommand      `cmd:"" help:"Make, list, rotate and revoke API keys; make and rotate keys that seal."`
}

// env is what every command gets: where to write, and a context that ends with SIGINT or SIGTERM.
type env struct {
	ctx  context.Context
	out  io.Writer
	logs io.Writer // where log writes
	log  *slog.Logger
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

// run is main with its surroundings handed in, so that a test can run the program.
func run(ctx context.Context, args []string, out, logs io.Writer) error {
	if err := readSecretFiles(os.LookupEnv, os.Setenv); err != nil {
		return err
	}
	parser, err := kong.New(&cli{}, kong.Name("quartermaster"), kong.Writers(out, logs), kong.UsageOnError(),
		kong.Description("Hands out AWS accounts. Every option can be set by the variable that its help names; secrets also by <VARIABLE>_FILE."))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return err
	}
	err = command.Run(&env{ctx: ctx, out: out, logs: logs, log: slog.New(slog.NewJSONHandler(logs, nil))})
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil //nolint:nilerr // told to stop, stopped
	}
	return err
}

// readSecretFiles sets each variable from the file that <VARIABLE>_FILE names: how container platforms hand secrets in.
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
