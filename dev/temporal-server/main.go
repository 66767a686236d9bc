// Command temporal-server is a Temporal server and its Web UI in one process, for development and tests.
//
// It answers to the same command line as the Temporal CLI's development server, `temporal server start-dev …`, so that
// the two are interchangeable, also for the Go SDK's testsuite.StartDevServer. Its defaults differ from the CLI's: see defaults in
// dynamicconfig.go and webUI in ui.go.
//
// The tests of dev/temporal run this program: a test binary here would have to link the server.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	uiversion "github.com/temporalio/ui-server/v2/server/version"
	"go.temporal.io/server/common/headers"
)

// commandLine is the program's grammar. Names, short forms and defaults are those of the Temporal CLI.
type commandLine struct {
	Version kong.VersionFlag `help:"Print the versions of the server and of the Web UI."`
	Server  struct {
		StartDev startDev `cmd:"" name:"start-dev" help:"Run the server until SIGINT or SIGTERM."`
	} `cmd:"" help:"Run a Temporal server."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for a clean stop. From then on a signal has its usual effect, so that a second Ctrl-C
	// ends a stop that hangs.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes one command line and returns the exit code: 0 after a clean stop, 1 otherwise.
func run(ctx context.Context, args []string) int {
	parser, err := newParser(ctx)
	if err != nil {
		return fail(err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return fail(err)
	}
	if err := command.Run(); err != nil {
		return fail(err)
	}
	return 0
}

func newParser(ctx context.Context) (*kong.Kong, error) {
	return kong.New(new(commandLine),
		kong.Name("temporal-server"),
		kong.Description("A Temporal server and its Web UI in one process, for development and tests."),
		kong.Vars{
			"version":            versions(),
			"sqlite_pragma_help": "SQLite pragma; repeatable. With a file, journal_mode=wal and synchronous=1 unless set.",
			"search_attribute_help": "Search attribute of every namespace named here; repeatable. " +
				"TYPE is Text, Keyword, Int, Double, Bool, Datetime or KeywordList.",
		},
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
}

// versions returns what --version prints.
func versions() string {
	return fmt.Sprintf("temporal-server (Server %s, UI %s)", headers.ServerVersion, uiversion.UIVersion)
}

func fail(err error) int {
	fmt.Fprintf(os.Stderr, "temporal-server: %v\n", err)
	return 1
}
